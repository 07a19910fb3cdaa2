"""The layout of huggingface's jat-project/jat-dataset: a row an episode, a column a modality, a folder a task.

Parts of one modality are joined, in the order of their names, row-major. Our own files carry the task's layout and the
episodes' provenance in their footer; of others, both are found out in a first pass over the data.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.images import fit_frames
from gato_dist.tokens.pictures import decode_channels, decode_picture, encode_png
from gato_dist.tokens.values import BINS
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.files import lowercase_suffix
from gato_dist.utils.typed_json import as_numbers, read_as, to_json
from replay.dataset.dataset import Dataset
from replay.dataset.episodes import Shard
from replay.dataset.writing import Source, check_distinct, kept_shards, naming, whole_folder

OURS = b"gato_dist"
REWARDS = "rewards"
# Tasks of JAT whose four-channel pictures hold four grey frames; of others, the fourth channel is transparency.
ATARI, ATARI_SHAPE = "jat/atari-", (84, 84, 4)
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_TYPES = {
    "text_observations": pa.list_(pa.string()),
    "image_observations": pa.list_(_IMAGE),
    "discrete_observations": pa.list_(pa.list_(pa.int64())),
    "continuous_observations": pa.list_(pa.list_(pa.float32())),
    "discrete_actions": pa.list_(pa.list_(pa.int64())),
    "continuous_actions": pa.list_(pa.list_(pa.float32())),
    REWARDS: pa.list_(pa.float32()),
}


def export_jat(dataset: Dataset, out: Path) -> list[str]:
    """Writes `out`/<task>/train-….parquet, a file a shard, and the card that names them; returns the folders' names.

    Floats become float32, as in JAT; actions are those that were done. Raises InputError for a task of two pictures or
    two texts a step, for which the layout has no place, and where `out` is there already.
    """
    held = kept_shards(dataset)
    for task in held:
        kinds = [part.modality for part in dataset.spec(task).observations]
        for kind in (Modality.TEXT, Modality.IMAGE):
            if kinds.count(kind) > 1:
                raise InputError(f"{task}: has {kinds.count(kind)} {kind} parts; JAT's layout holds one")
    names = {task: task_file_name(task, "-") for task in held}
    check_distinct(names)
    with whole_folder(out) as folder:
        for task, shards in held.items():
            (folder / names[task]).mkdir()
            for number, shard in enumerate(shards):
                _write(folder / names[task] / f"train-{number:05d}-of-{len(shards):05d}.parquet", shard)
        configs = "".join(f"- config_name: {n}\n  data_files: {n}/train-*.parquet\n" for n in names.values())
        card = f"---\nconfigs:\n{configs}---\nEpisodes in JAT's layout, by gato_dist.\n"
        (folder / "README.md").write_text(card, "utf-8")
    return list(names.values())


def jat_sources(source: str) -> Iterator[Source]:
    """Every folder of Parquet files in or at `source`; files of test splits are left out. Raises InputError.

    Tasks that we exported come back under their own names, others as `jat/<folder>`.
    """
    root = Path(source)
    folders: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if lowercase_suffix(path) == ".parquet" and not path.name.startswith("test"):
            folders.setdefault(path.parent, []).append(path)
    if not folders:
        raise InputError(f"{source}: no folder with Parquet files in JAT's layout (a row an episode)")
    for folder, files in folders.items():
        yield _source(folder.resolve().name, files)


def _write(path: Path, shard: Shard) -> None:
    spec, kept = shard.manifest.spec, []
    columns = _columns(spec)
    schema = pa.schema([(name, _flat(spec, name)) for name in columns], {b"huggingface": _features(spec, columns)})
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for entry in shard.manifest.entries:
            episode = shard.episode(entry)
            try:
                writer.write_table(pa.table({name: [_cell(spec, episode, name)] for name in columns}, schema))
            except (ValueError, pa.ArrowException) as error:
                raise InputError(f"{shard.parquet}: episode {entry.index} is not its task's: {brief(error)}") from error
            known = {"terminated": entry.terminated, "success": entry.success, "provenance": asdict(entry.provenance)}
            kept.append(known)
        dtypes = {part.name: str(np.asarray(episode.observations[part.name]).dtype) for part in spec.observations}
        dtypes[" action"] = str(episode.actions.dtype)
        writer.add_key_value_metadata(
            {OURS: to_json({"spec": spec.to_dict(), "dtypes": dtypes, "episodes": kept}).encode()}
        )


def _columns(spec: TaskSpec) -> list[str]:
    kinds = {part.modality for part in spec.observations}
    return [f"{kind}_observations" for kind in Modality if kind in kinds] + [f"{spec.action.modality}_actions", REWARDS]


def _flat(spec: TaskSpec, column: str) -> pa.DataType:
    """A single choice is a number a step, not a list of one."""
    single = column == "discrete_actions" and not spec.action.shape
    return pa.list_(pa.int64()) if single else _TYPES[column]


def _features(spec: TaskSpec, columns: list[str]) -> bytes:
    """What the `datasets` library reads of the types; without it, pictures would come as bytes."""

    def feature(kind: pa.DataType) -> dict[str, Any]:
        if kind == _IMAGE:
            return {"_type": "Image"}
        if pa.types.is_list(kind):
            return {"feature": feature(kind.value_type), "_type": "Sequence"}
        return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}

    return to_json({"info": {"features": {name: feature(_flat(spec, name)) for name in columns}}}).encode()


def _cell(spec: TaskSpec, episode: Episode, column: str) -> Any:
    if column == REWARDS:
        return episode.rewards
    if column.endswith("_actions"):
        flat = episode.actions.reshape(len(episode), -1)
        return flat[:, 0].astype(np.int64) if column == "discrete_actions" and not spec.action.shape else _rows(flat)
    kind = Modality(column.removesuffix("_observations"))
    values = [episode.observations[part.name] for part in spec.observations if part.modality is kind]
    if kind is Modality.TEXT:
        return values[0]
    if kind is Modality.IMAGE:
        return [{"bytes": encode_png(frame), "path": None} for frame in np.asarray(values[0])]
    return _rows(np.concatenate([np.asarray(each).reshape(len(episode), -1) for each in values], axis=1))


def _rows(values: np.ndarray) -> list[np.ndarray]:
    return list(values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32))


def _frames(cells: pa.Array, task: str) -> np.ndarray:
    """uint8 [T, H, W, 3]."""
    decode = _decode_atari if task.startswith(ATARI) else decode_picture
    pictures = []
    for step, cell in enumerate(cells.to_pylist()):
        if not cell or not cell["bytes"]:
            raise ValueError(f"step {step}: its picture holds no bytes")
        try:
            pictures.append(decode(cell["bytes"]))
        except ValueError as error:
            raise ValueError(f"step {step}: its picture cannot be decoded ({error})") from error
    return fit_frames(np.stack(pictures))


def _decode_atari(data: bytes) -> np.ndarray:
    """The newest three of JAT's four grey Atari frames, which it stores as the channels of one RGBA picture."""
    channels = decode_channels(data)
    return channels[:, :, 1:] if channels.shape == ATARI_SHAPE else decode_picture(data)


def _source(name: str, files: list[Path]) -> Source:
    try:
        footer = pq.ParquetFile(files[0]).metadata.metadata or {}
        if OURS in footer:
            spec = TaskSpec.from_dict(json.loads(footer[OURS])["spec"])
        else:
            spec = _survey(f"jat/{name}", files)
        return Source(spec, naming(files[0].parent, _episodes(spec, files)))
    except (*READ_ERRORS, pa.ArrowException) as error:
        raise InputError(f"{files[0].parent}: not in JAT's layout: {brief(error)}") from error


@dataclass
class _Seen:
    """What a first pass finds of one column: numbers a step, and the range of each."""

    shape: tuple[int, ...]
    low: np.ndarray
    high: np.ndarray


def _survey(task: str, files: list[Path]) -> TaskSpec:
    """The layout of data that does not tell it: sizes, and ranges as they occur. Reads all but the pictures."""
    seen: dict[str, _Seen] = {}
    frame = None
    for file in files:
        names = pq.ParquetFile(file).schema_arrow.names
        if REWARDS not in names:
            raise ValueError(f"{file.name} has no column {REWARDS!r}")
        for row in _rows_of(file, [name for name in names if name in _TYPES and name != "image_observations"]):
            for column, cells in row.items():
                if column not in (REWARDS, "text_observations"):
                    _widen(seen, column, _numbers(cells))
        if "image_observations" in names and frame is None:
            frame = _frames(next(_rows_of(file, ["image_observations"]))["image_observations"][:1], task)[0]
    parts = [ObservationSpec("text", Modality.TEXT)] if "text_observations" in names else []
    parts += [ObservationSpec("image", Modality.IMAGE, frame.shape)] if frame is not None else []
    for kind in (Modality.DISCRETE, Modality.CONTINUOUS):
        if each := seen.get(f"{kind}_observations"):
            parts.append(ObservationSpec(kind.value, kind, each.shape, _count(task, kind, each)))
    if not parts:
        raise ValueError("no column of observations")
    return TaskSpec(task, tuple(parts), _action(task, seen), 0)


def _widen(seen: dict[str, _Seen], column: str, values: np.ndarray) -> None:
    low, high = values.min(axis=0), values.max(axis=0)
    before = seen.setdefault(column, _Seen(values.shape[1:], low, high))
    if before.shape != values.shape[1:]:
        raise ValueError(f"{column} has {before.shape} numbers a step, and then {values.shape[1:]}")
    before.low, before.high = np.minimum(before.low, low), np.maximum(before.high, high)


def _count(task: str, kind: Modality, seen: _Seen) -> int:
    if kind is Modality.CONTINUOUS:
        return 0
    if seen.low.min() < 0 or seen.high.max() >= BINS:
        raise ValueError(f"{task}: discrete values must lie in [0, {BINS})")
    return int(seen.high.max()) + 1


def _action(task: str, seen: dict[str, _Seen]) -> ActionSpec:
    if each := seen.get("discrete_actions"):
        _count(task, Modality.DISCRETE, each)
        return ActionSpec(Modality.DISCRETE, each.shape, tuple(int(n) + 1 for n in np.ravel(each.high)))
    each = seen["continuous_actions"]
    low, high = np.ravel(each.low).astype(float), np.ravel(each.high).astype(float)
    return ActionSpec(Modality.CONTINUOUS, each.shape, low=tuple(low.tolist()), high=tuple(high.tolist()))


def _rows_of(file: Path, columns: list[str]) -> Iterator[dict[str, pa.Array]]:
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=1, columns=columns):
            yield {name: batch.column(name)[0].values for name in columns if batch.column(name)[0].is_valid}


def _numbers(cells: pa.Array) -> np.ndarray:
    """[T] or [T, n] of a cell's values. Raises ValueError for steps of different lengths."""
    if not pa.types.is_list(cells.type) and not pa.types.is_fixed_size_list(cells.type):
        return cells.to_numpy(zero_copy_only=False)
    flat = cells.flatten().to_numpy(zero_copy_only=False)
    if len(set(cells.value_lengths().to_pylist())) != 1:
        raise ValueError("steps of different lengths")
    return flat.reshape(len(cells), -1)


def _episodes(spec: TaskSpec, files: list[Path]) -> Iterator[Episode]:
    count = 0
    for file in files:
        footer = pq.ParquetFile(file).metadata.metadata or {}
        ours = json.loads(footer[OURS]) if OURS in footer else {}
        for number, row in enumerate(_rows_of(file, _columns(spec))):
            known = ours["episodes"][number] if ours else {}
            try:
                yield _episode(spec, row, known, ours.get("dtypes", {}), count)
            except (ValueError, LookupError) as error:
                raise ValueError(f"{file.name}, row {number}: {error}") from error
            count += 1


def _episode(
    spec: TaskSpec, row: dict[str, pa.Array], known: dict[str, Any], dtypes: dict[str, str], index: int
) -> Episode:
    rewards = _numbers(row[REWARDS]).astype(np.float32)
    steps = len(rewards)
    observations: Observations = {}
    for kind in Modality:
        parts = [part for part in spec.observations if part.modality is kind]
        if parts:
            observations |= _split(spec.name, parts, row[f"{kind}_observations"], steps, dtypes)
    actions = _numbers(row[f"{spec.action.modality}_actions"])
    actions = as_numbers(actions, dtypes.get(" action")).reshape(steps, *spec.action.shape)
    if known:
        ended = read_as(bool, known["terminated"])
        success = None if known["success"] is None else read_as(bool, known["success"])
        source = read_as(Provenance, known["provenance"])
        return Episode(observations, actions, actions, rewards, ended, success, source)
    return Episode(
        observations,
        actions,
        actions,
        rewards,
        False,
        None,
        Provenance(task=spec.name, seed=-1, policy="jat", policy_hash="", episode=index),
    )


def _split(
    task: str, parts: list[ObservationSpec], cells: pa.Array, steps: int, dtypes: dict[str, str]
) -> Observations:
    """The parts of one modality; an observation after the last action is left out."""
    if len(cells) not in (steps, steps + 1):
        raise ValueError(f"{len(cells)} observations for {steps} rewards")
    cells = cells[:steps]
    if parts[0].modality is Modality.TEXT:
        return {parts[0].name: cells.to_pylist()}
    if parts[0].modality is Modality.IMAGE:
        return {parts[0].name: _frames(cells, task)}
    flat = _numbers(cells).reshape(steps, -1)
    pieces = np.split(flat, np.cumsum([part.size for part in parts])[:-1], axis=1)
    return {
        part.name: as_numbers(piece.reshape(steps, *part.shape), dtypes.get(part.name))
        for part, piece in zip(parts, pieces, strict=True)
    }
