"""Raw episodes on disk: a Parquet file of steps and a JSON manifest beside it make a shard.

Plain pyarrow, pandas or polars read the steps; a change of tokens never costs a new collection. A shard exists once
its manifest does, which is written last: a collection that was killed leaves nothing that looks whole. Both lie in
any folder that replay/dataset/storage.py can open.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.utils.files import sha256_of
from gato_dist.utils.typed_json import as_numbers, read_as, to_json
from replay.dataset.storage import Location

FORMAT = "gato_dist episodes 2"
GROUP = 64  # steps of a row group: what is read at least for one window
EPISODE, STEP, ACTION, TARGET, REWARD = "episode", "step", "action", "target", "reward"
OBSERVATION = "observation."


@dataclass(frozen=True)
class Entry:
    """One episode of a shard: its index in the dataset, its row groups [first, end) and what is known of it."""

    index: int
    first_group: int
    end_group: int
    steps: int
    episode_return: float
    terminated: bool
    success: bool | None
    provenance: Provenance


@dataclass(frozen=True)
class Dropped:
    """An episode that was played and not kept: its return was too low."""

    index: int
    episode_return: float


@dataclass(frozen=True)
class Manifest:
    """What a shard holds. sha256, bytes: of the Parquet file, which is not there where no episode was kept."""

    spec: TaskSpec
    sha256: str
    bytes: int
    entries: tuple[Entry, ...]
    dropped: tuple[Dropped, ...] = ()

    @property
    def indices(self) -> list[int]:
        """Of all episodes that were played, sorted."""
        return sorted([entry.index for entry in self.entries] + [dropped.index for dropped in self.dropped])

    def to_json(self) -> str:
        data = {"format": FORMAT, "spec": self.spec.to_dict(), "sha256": self.sha256, "bytes": self.bytes}
        episodes = {"episodes": [asdict(e) for e in self.entries], "dropped": [asdict(d) for d in self.dropped]}
        return to_json(data | episodes, indent=1) + "\n"

    @classmethod
    def load(cls, where: str | Path | Location) -> "Manifest":
        """Raises InputError, which names the file, where it is no manifest of this format."""
        path = Location.of(where)
        try:
            data = json.loads(path.read_text())
            if data["format"] != FORMAT:
                raise InputError(f"{path}: format {data['format']!r}, this version reads {FORMAT!r}")
            found = read_as(cls, {**data, "entries": data["episodes"]})
            for entry in found.entries:
                if min(entry.index, entry.first_group, entry.end_group - entry.first_group, entry.steps - 1) < 0:
                    raise ValueError(f"episode {entry.index} has no place in a file")
            return replace(found, spec=TaskSpec.from_dict(data["spec"]))
        except READ_ERRORS as error:
            raise InputError(f"{path}: not a manifest of a shard ({brief(error)})") from error


def write_shard(
    where: str | Path | Location, spec: TaskSpec, episodes: dict[int, Episode], dropped: Sequence[Dropped] = ()
) -> Manifest:
    """Writes `where`.parquet and then `where`.json; each appears whole or not at all.

    episodes: by index. dropped: what was played beside them; where it was everything, no Parquet file is written.
    """
    path = Location.of(where)
    if not episodes and not dropped:
        raise ValueError(f"{path}: a shard tells of one episode at least")
    entries: list[Entry] = []
    sha256, size = "", 0
    if episodes:
        with path.with_suffix(".parquet").replace() as partial:
            entries = _write_steps(partial, spec, episodes)
            sha256, size = sha256_of(partial), partial.stat().st_size
    manifest = Manifest(spec, sha256, size, tuple(entries), tuple(sorted(dropped, key=lambda each: each.index)))
    path.with_suffix(".json").write_text(manifest.to_json())
    return manifest


def _write_steps(path: Path, spec: TaskSpec, episodes: dict[int, Episode]) -> list[Entry]:
    entries, group, writer = [], 0, None
    try:
        for index, episode in sorted(episodes.items()):
            table = _steps(spec, index, episode)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=GROUP)
            end = group + -(-len(episode) // GROUP)
            entries.append(
                Entry(
                    index, group, end, len(episode), episode.episode_return, episode.terminated, episode.success,
                    episode.provenance,
                )
            )  # fmt: skip
            group = end
    finally:
        if writer is not None:
            writer.close()
    return entries


class Shard:
    """Reads one shard. path: of its manifest. Raises InputError where it is none."""

    def __init__(self, path: str | Path | Location) -> None:
        self.path = Location.of(path)
        self.parquet = self.path.with_suffix(".parquet")
        self.manifest = Manifest.load(self.path)

    def episode(self, entry: Entry) -> Episode:
        """A whole episode. Raises InputError, which names the file, where it cannot be read."""
        rows = read_groups(self.parquet, range(entry.first_group, entry.end_group))
        try:
            return decode_episode(self.manifest.spec, entry, rows)
        except (*READ_ERRORS, pa.ArrowException) as error:
            raise InputError(f"{self.parquet}: episode {entry.index} is not its task's: {brief(error)}") from error

    def window(self, entry: Entry, first: int, end: int) -> pa.Table:
        """Steps [first, end) of an episode; no more is read than the row groups that hold them."""
        groups = range(entry.first_group + first // GROUP, entry.first_group + -(-end // GROUP))
        return read_groups(self.parquet, groups).slice(first % GROUP, end - first)


def read_groups(parquet: Location, groups: Iterable[int]) -> pa.Table:
    """Row groups of a shard's file, and no other byte of its steps. Raises InputError, which names the file."""
    try:
        with parquet.open() as source, pq.ParquetFile(source) as file:
            return file.read_row_groups(list(groups), use_threads=False)
    except (*READ_ERRORS, pa.ArrowException) as error:
        raise InputError(f"{parquet}: cannot be read ({brief(error)})") from error


def decode_steps(spec: TaskSpec, rows: pa.Table) -> tuple[Observations, np.ndarray, np.ndarray]:
    """Observations [T, ...], actions and targets [T, *action shape] of T steps.

    Raises KeyError or ValueError where they do not have the task's columns and shapes.
    """
    observations: Observations = {
        part.name: _decode(part, rows.column(OBSERVATION + part.name)) for part in spec.observations
    }
    actions, targets = (_array(rows.column(name), spec.action.shape) for name in (ACTION, TARGET))
    return observations, actions, targets


def decode_episode(spec: TaskSpec, entry: Entry, rows: pa.Table) -> Episode:
    """An episode of its rows. Raises KeyError or ValueError as `decode_steps`."""
    rewards = _array(rows.column(REWARD), ())
    return Episode(*decode_steps(spec, rows), rewards, entry.terminated, entry.success, entry.provenance)


def _steps(spec: TaskSpec, index: int, episode: Episode) -> pa.Table:
    count = len(episode)
    columns: dict[str, Any] = {EPISODE: np.full(count, index, np.int64), STEP: np.arange(count, dtype=np.int32)}
    for part in spec.observations:
        columns[OBSERVATION + part.name] = _encode(part, episode.observations[part.name])
    columns[ACTION], columns[TARGET] = _column(episode.actions), _column(episode.targets)
    columns[REWARD] = episode.rewards.astype(np.float32)
    return pa.table(columns)


def _encode(part: ObservationSpec, values: Any) -> Any:
    if part.modality is Modality.TEXT:
        return pa.array(values, pa.string())
    if part.modality is Modality.IMAGE:
        # Whole frames, uncompressed: a row group of them shrinks under zstd to less than half of its PNGs.
        # Not binary of fixed size, which the `datasets` library cannot open.
        frames = np.ascontiguousarray(values, np.uint8)
        starts = np.arange(len(frames) + 1, dtype=np.int64) * part.size
        return pa.Array.from_buffers(pa.large_binary(), len(frames), [None, pa.py_buffer(starts), pa.py_buffer(frames)])
    return _column(np.asarray(values))


def _column(values: np.ndarray) -> Any:
    """[T] as a plain column, [T, ...] as lists of fixed size, row-major."""
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])


def _decode(part: ObservationSpec, column: pa.ChunkedArray) -> Any:
    if part.modality is Modality.TEXT:
        return column.to_pylist()
    if part.modality is Modality.IMAGE:
        whole = column.combine_chunks()
        _, starts, pixels = whole.buffers()
        places = np.frombuffer(starts, np.int64, len(whole) + 1, 8 * whole.offset)
        if not (np.diff(places) == part.size).all():
            raise ValueError(f"{part.name} holds pictures of another size than {part.shape}")
        return np.frombuffer(pixels, np.uint8, len(whole) * part.size, places[0]).reshape(len(whole), *part.shape)
    return _array(column, part.shape)


def _array(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    whole = column.combine_chunks()
    flat = whole.flatten() if isinstance(whole, pa.FixedSizeListArray) else whole
    return as_numbers(flat.to_numpy(zero_copy_only=False)).reshape(len(whole), *shape)
