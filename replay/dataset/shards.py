"""Shards: raw episodes of one task on disk, as a Parquet file of steps and a JSON manifest.

Plain pyarrow, pandas or polars can read the steps, and a change of tokens never requires a new collection. The manifest
is written last, and a shard without a manifest does not exist: an interrupted collection leaves no incomplete shard.
Both files are in any folder that `replay.dataset.storage` can open.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from gato_dist.episode import Episode, Provenance
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import TaskSpec
from gato_dist.utils.files import sha256_of
from gato_dist.utils.typed_json import read_as, to_json
from replay.dataset.parquet_steps import GROUP_STEPS, decode_rewards, decode_steps, encode_steps, read_groups
from replay.dataset.storage import Location

FORMAT = "gato_dist episodes 2"


@dataclass(frozen=True, kw_only=True)
class EpisodeEntry:
    """One episode of a shard.

    Attributes:
        index: the episode's index in the dataset.
        first_group: its first row group in the Parquet file.
        end_group: the row group after its last one.
        steps: its number of steps.
        episode_return: sum of its rewards.
        terminated: whether the task ended by itself; otherwise the episode was truncated.
        success: whether the task reported success; None if it reports none.
        provenance: how the episode was made.
    """

    index: int
    first_group: int
    end_group: int
    steps: int
    episode_return: float
    terminated: bool
    success: bool | None
    provenance: Provenance


@dataclass(frozen=True)
class DroppedEpisode:
    """An episode that was played but not kept, because its return was too low."""

    index: int
    episode_return: float


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a shard holds.

    Attributes:
        spec: the task's layout.
        sha256: checksum of the Parquet file in hex; "" if no episode was kept and there is no file.
        bytes: size of the Parquet file.
        entries: the episodes that were kept, by index.
        dropped: the episodes that were not kept, by index.
    """

    spec: TaskSpec
    sha256: str
    bytes: int
    entries: tuple[EpisodeEntry, ...]
    dropped: tuple[DroppedEpisode, ...] = ()

    @property
    def indices(self) -> list[int]:
        """Indices of all episodes that were played, sorted."""
        return sorted([entry.index for entry in self.entries] + [dropped.index for dropped in self.dropped])

    def to_json(self) -> str:
        """Returns the text of the manifest's file."""
        data = {"format": FORMAT, "spec": self.spec.to_dict(), "sha256": self.sha256, "bytes": self.bytes}
        episodes = {"episodes": [asdict(e) for e in self.entries], "dropped": [asdict(d) for d in self.dropped]}
        return to_json(data | episodes, indent=1) + "\n"

    @classmethod
    def load(cls, where: str | Path | Location) -> "Manifest":
        """Reads a manifest.

        Raises:
            InputError: the file is missing, damaged or of another format.
        """
        path = Location.of(where)
        try:
            data = json.loads(path.read_text())
            if data["format"] != FORMAT:
                raise InputError(f"{path}: format {data['format']!r}, this version reads {FORMAT!r}")
            found = read_as(cls, {**data, "entries": data["episodes"]})
            for entry in found.entries:
                if min(entry.index, entry.first_group, entry.end_group - entry.first_group, entry.steps - 1) < 0:
                    raise ValueError(f"episode {entry.index} has a negative index or row group, or no step")
            return replace(found, spec=TaskSpec.from_dict(data["spec"]))
        except READ_ERRORS as error:
            raise InputError(f"{path}: not a manifest of a shard ({brief(error)})") from error


def write_shard(
    where: str | Path | Location,
    spec: TaskSpec,
    episodes: Mapping[int, Episode],
    dropped: Sequence[DroppedEpisode] = (),
) -> Manifest:
    """Writes `where`.parquet and then `where`.json. An interrupted write leaves no partial file under these names.

    Args:
        where: path or URL without a suffix.
        spec: the task's layout.
        episodes: index → episode. If there are none, no Parquet file is written.
        dropped: episodes that were played and not kept.

    Raises:
        ValueError: there is neither an episode nor a dropped one.
    """
    path = Location.of(where)
    if not episodes and not dropped:
        raise ValueError(f"{path}: a shard needs at least one episode, kept or dropped")
    entries: list[EpisodeEntry] = []
    sha256, size = "", 0
    if episodes:
        with path.with_suffix(".parquet").atomic_write() as partial:
            entries = _write_steps(partial, spec, episodes)
            sha256, size = sha256_of(partial), partial.stat().st_size
    manifest = Manifest(
        spec=spec,
        sha256=sha256,
        bytes=size,
        entries=tuple(entries),
        dropped=tuple(sorted(dropped, key=lambda each: each.index)),
    )
    path.with_suffix(".json").write_text(manifest.to_json())
    return manifest


def _write_steps(path: Path, spec: TaskSpec, episodes: Mapping[int, Episode]) -> list[EpisodeEntry]:
    entries, group, writer = [], 0, None
    try:
        for index, episode in sorted(episodes.items()):
            table = encode_steps(spec, index, episode)
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=GROUP_STEPS)
            end = group + -(-len(episode) // GROUP_STEPS)
            entries.append(
                EpisodeEntry(
                    index=index,
                    first_group=group,
                    end_group=end,
                    steps=len(episode),
                    episode_return=episode.episode_return,
                    terminated=episode.terminated,
                    success=episode.success,
                    provenance=episode.provenance,
                )
            )
            group = end
    finally:
        if writer is not None:
            writer.close()
    return entries


class Shard:
    """Reads the episodes of one shard.

    Args:
        path: the manifest's path or URL.

    Attributes:
        path: the manifest's location.
        parquet: the location of the steps.
        manifest: what the shard holds.

    Raises:
        InputError: there is no valid manifest.
    """

    def __init__(self, path: str | Path | Location) -> None:
        self.path = Location.of(path)
        self.parquet = self.path.with_suffix(".parquet")
        self.manifest = Manifest.load(self.path)

    def episode(self, entry: EpisodeEntry) -> Episode:
        """Reads a whole episode.

        Raises:
            InputError: the file cannot be read, or does not fit the task's layout.
        """
        steps = read_groups(self.parquet, range(entry.first_group, entry.end_group))
        try:
            return decode_episode(self.manifest.spec, entry, steps)
        except (*READ_ERRORS, pa.ArrowException) as error:
            raise InputError(f"{self.parquet}: episode {entry.index} is not its task's: {brief(error)}") from error

    def window(self, entry: EpisodeEntry, first: int, end: int) -> pa.Table:
        """Reads steps [first, end) of an episode: the row groups that hold them, and no more.

        Raises:
            InputError: the file cannot be read.
        """
        groups = range(entry.first_group + first // GROUP_STEPS, entry.first_group + -(-end // GROUP_STEPS))
        return read_groups(self.parquet, groups).slice(first % GROUP_STEPS, end - first)


def decode_episode(spec: TaskSpec, entry: EpisodeEntry, steps: pa.Table) -> Episode:
    """Returns the episode of an entry from its steps. Raises KeyError or ValueError as `decode_steps`."""
    observations, actions, targets = decode_steps(spec, steps)
    return Episode(
        observations=observations,
        actions=actions,
        targets=targets,
        rewards=decode_rewards(steps),
        terminated=entry.terminated,
        success=entry.success,
        provenance=entry.provenance,
    )
