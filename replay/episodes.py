"""Raw episodes on disk: a Parquet file of steps and a JSON manifest beside it make a shard.

Plain pyarrow, pandas or polars read the steps; a change of tokens never costs a new collection. A shard exists once
its manifest does, which is written last: a collection that was killed leaves nothing that looks whole.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.errors import InputError
from gato_dist.specs import Modality, ObservationSpec, TaskSpec

FORMAT = "gato_dist episodes 1"
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
class Manifest:
    """What a shard holds. sha256: of the Parquet file."""

    spec: TaskSpec
    sha256: str
    entries: tuple[Entry, ...]

    def to_json(self) -> str:
        data = {"format": FORMAT, "spec": self.spec.to_dict(), "sha256": self.sha256}
        return json.dumps(data | {"episodes": [asdict(entry) for entry in self.entries]}, indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> "Manifest":
        """Raises InputError, which names the file, where it is no manifest of this format."""
        try:
            data = json.loads(path.read_text())
            if data["format"] != FORMAT:
                raise InputError(f"{path}: format {data['format']!r}, this version reads {FORMAT!r}")
            entries = (Entry(**each | {"provenance": Provenance(**each["provenance"])}) for each in data["episodes"])
            return cls(TaskSpec.from_dict(data["spec"]), data["sha256"], tuple(entries))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: not a manifest of a shard ({error})") from error


def write_shard(path: Path, spec: TaskSpec, episodes: dict[int, Episode]) -> Manifest:
    """Writes `path`.parquet and then `path`.json; both appear whole or not at all. episodes: by index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    entries, group = [], 0
    writer = None
    try:
        for index, episode in sorted(episodes.items()):
            table = _steps(spec, index, episode)
            writer = writer or pq.ParquetWriter(partial, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=GROUP)
            end = group + -(-len(episode) // GROUP)
            entries.append(
                Entry(
                    index, group, end, len(episode), episode.episode_return, episode.terminated, episode.success,
                    episode.provenance,
                )
            )  # fmt: skip
            group = end
        if writer is None:
            raise ValueError(f"{path}: a shard holds one episode at least")
        writer.close()
        manifest = Manifest(spec, _sha256(partial), tuple(entries))
        partial.rename(path.with_suffix(".parquet"))
        partial.write_text(manifest.to_json())
        partial.rename(path.with_suffix(".json"))
    finally:
        partial.unlink(missing_ok=True)
    return manifest


class Shard:
    """Reads one shard. path: of its manifest. Raises InputError where it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.manifest = Manifest.load(path)
        self._parquet = path.with_suffix(".parquet")

    def episode(self, entry: Entry) -> Episode:
        """A whole episode. Raises InputError, which names the file, where it cannot be read."""
        spec, table = self.manifest.spec, read_groups(self._parquet, range(entry.first_group, entry.end_group))
        observations, actions, targets = decode_steps(spec, table)
        rewards = table.column(REWARD).to_numpy()
        return Episode(observations, actions, targets, rewards, entry.terminated, entry.success, entry.provenance)

    def faults(self) -> list[str]:
        """What is wrong with this shard, each with the file's name; empty where nothing is."""
        if not self._parquet.exists():
            return [f"{self._parquet}: missing"]
        if _sha256(self._parquet) != self.manifest.sha256:
            return [f"{self._parquet}: its checksum is not the manifest's: damaged or changed"]
        found = []
        for entry in self.manifest.entries:
            episode = self.episode(entry)
            if len(episode) != entry.steps:
                found.append(f"{self._parquet}: episode {entry.index} has {len(episode)} steps, not {entry.steps}")
            if abs(episode.episode_return - entry.episode_return) > 1e-6 * max(1.0, abs(entry.episode_return)):
                found.append(f"{self._parquet}: episode {entry.index} returns {episode.episode_return}")
            found += [
                f"{self._parquet}: episode {entry.index}: {fault}" for fault in _outside(self.manifest.spec, episode)
            ]
        return found


def read_groups(parquet: Path, groups: Iterable[int]) -> pa.Table:
    """Row groups of a shard's file, and no other byte of its steps. Raises InputError, which names the file."""
    try:
        with pq.ParquetFile(parquet) as file:
            return file.read_row_groups(list(groups), use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{parquet}: cannot be read ({' '.join(str(error).split())[:120]})") from error


def decode_steps(spec: TaskSpec, table: pa.Table) -> tuple[Observations, np.ndarray, np.ndarray]:
    """Observations [T, ...], actions and targets [T, *action shape] of the table's T steps."""
    observations: Observations = {
        part.name: _decode(part, table.column(OBSERVATION + part.name)) for part in spec.observations
    }
    actions, targets = (_array(table.column(name), spec.action.shape) for name in (ACTION, TARGET))
    return observations, actions, targets


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
        frames = np.ascontiguousarray(values, np.uint8)
        return pa.FixedSizeBinaryArray.from_buffers(pa.binary(part.size), len(frames), [None, pa.py_buffer(frames)])
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
        pixels = np.frombuffer(whole.buffers()[1], np.uint8, len(whole) * part.size, whole.offset * part.size)
        return pixels.reshape(len(whole), *part.shape)
    return _array(column, part.shape)


def _array(column: pa.ChunkedArray, shape: tuple[int, ...]) -> np.ndarray:
    whole = column.combine_chunks()
    if isinstance(whole, pa.FixedSizeListArray):
        return whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), *shape)
    return whole.to_numpy(zero_copy_only=False).reshape(len(whole), *shape)


def _outside(spec: TaskSpec, episode: Episode) -> list[str]:
    """Values that the task's layout does not allow."""
    found = []
    for part in spec.observations:
        values = episode.observations[part.name]
        if part.modality is Modality.TEXT:
            continue
        array = np.asarray(values)
        if array.shape[1:] != part.shape:
            found.append(f"{part.name} has shape {array.shape[1:]}, not {part.shape}")
        elif part.modality is Modality.DISCRETE and not ((array >= 0) & (array < part.num_values)).all():
            found.append(f"{part.name} has values outside [0, {part.num_values})")
        elif part.modality is Modality.CONTINUOUS and not np.isfinite(array).all():
            found.append(f"{part.name} has values that are not finite")
    if spec.action.num_values:
        limit = np.reshape(spec.action.num_values, spec.action.shape)
        if not ((episode.actions >= 0) & (episode.actions < limit)).all():
            found.append("actions outside their range")
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
