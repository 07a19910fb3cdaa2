"""Merges datasets into one. Refuses datasets that do not fit together or hold the same episode."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.utils.file_names import task_file_name
from replay.dataset.dataset import Dataset
from replay.dataset.observation_moments import load_moments, pool_moments, save_moments
from replay.dataset.shards import EpisodeEntry, Shard, write_shard
from replay.dataset.storage import Location
from replay.dataset.writing import atomic_folder, write_settings

MERGED = "merged"  # the policy of a merged dataset that no single collection could have made
COMMON_SETTINGS = ("policy", "checkpoint", "seed", "min_fraction")
TASK_SETTINGS = ("min_returns", "experts")


@dataclass(frozen=True)
class _ShardMove:
    """A shard, and the new indices of its episodes (old index → new index)."""

    shard: Shard
    indices: dict[int, int]

    @property
    def keeps_indices(self) -> bool:
        return all(old == new for old, new in self.indices.items())


def merge(datasets: Sequence[Dataset], out: Path, made: str) -> None:
    """Writes the episodes of all datasets into a new one, with new indices, task by task in the given order.

    Shards whose indices stay the same are hard links or copies; others are written again. The merged dataset can be
    collected further if the parts differ in nothing but their tasks.

    Args:
        datasets: what to merge.
        out: the new dataset's folder, which must not exist.
        made: the command, for dataset.json.

    Raises:
        InputError: layouts of a task differ, or an episode occurs twice. Nothing is written then.
    """
    tasks = list(dict.fromkeys(task for dataset in datasets for task in dataset.shards))
    if not tasks:
        raise InputError("nothing to merge: no dataset holds an episode")
    for task in tasks:
        holders = [dataset for dataset in datasets if task in dataset.shards]
        _check_layouts(task, holders)
        _check_duplicates(task, holders)
    with atomic_folder(out) as folder:
        counts, same_indices = {}, True
        for task in tasks:
            moves = _plan_moves(task, datasets)
            counts[task] = sum(len(move.shard.manifest.entries) for move in moves)
            same_indices &= all(move.keeps_indices for move in moves)
            for move in moves:
                _move_shard(move, folder / task_file_name(task))
        moments = [load_moments(dataset.root) for dataset in datasets]
        parts = {task: [each[task] for each in moments if task in each] for task in tasks}
        save_moments(Location.of(folder), {task: pool_moments(each) for task, each in parts.items() if each})
        write_settings(folder, _merge_settings(datasets, same_indices) | {"episodes": counts, "made": made})


def _merge_settings(datasets: Sequence[Dataset], same_indices: bool) -> dict[str, Any]:
    """Returns the common settings, if all agree and each task comes from one dataset. Then it can be collected on."""
    tasks = [task for dataset in datasets for task in dataset.shards]
    common = [{key: dataset.settings[key] for key in COMMON_SETTINGS} for dataset in datasets]
    if not same_indices or len(tasks) != len(set(tasks)) or any(each != common[0] for each in common):
        return {"policy": MERGED}
    merged: dict[str, Any] = {key: {} for key in TASK_SETTINGS} | common[0]
    for dataset in datasets:
        for key in TASK_SETTINGS:
            merged[key] |= dataset.settings[key]
    return merged


def _plan_moves(task: str, datasets: Sequence[Dataset]) -> list[_ShardMove]:
    """Returns every shard of a task with its new indices."""
    moves: list[_ShardMove] = []
    count = 0
    for dataset in datasets:
        for shard in sorted(dataset.shards.get(task, []), key=lambda shard: min(shard.manifest.indices)):
            indices = {old: count + i for i, old in enumerate(shard.manifest.indices)}
            moves.append(_ShardMove(shard, indices))
            count += len(indices)
    return moves


def _move_shard(move: _ShardMove, folder: Path) -> None:
    shard, manifest = move.shard, move.shard.manifest
    path = folder / f"{min(move.indices.values()):06d}"
    if not move.keeps_indices:
        episodes = {move.indices[entry.index]: shard.episode(entry) for entry in manifest.entries}
        dropped = [replace(each, index=move.indices[each.index]) for each in manifest.dropped]
        write_shard(path, manifest.spec, episodes, dropped)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _link_or_copy(shard.path, path.with_suffix(".json"))
    if manifest.entries:
        _link_or_copy(shard.parquet, path.with_suffix(".parquet"))


def _link_or_copy(source: Location, target: Path) -> None:
    """Makes a hard link if both are on one file system: shards are never changed in place."""
    try:
        os.link(Path(source.url), target)
    except OSError:
        with source.open() as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy, 2**24)


def _check_layouts(task: str, datasets: Sequence[Dataset]) -> None:
    first = datasets[0]
    for other in datasets:
        for shard in other.shards[task]:
            if wrong := _difference(first.spec(task).to_dict(), shard.manifest.spec.to_dict()):
                raise InputError(f"{task}: {wrong} in {first.root} and {shard.path} differ; they cannot be merged")
    schemas = {str(each.root): schema for each in datasets if (schema := _schema(each.shards[task]))}
    for root, schema in schemas.items():
        before, wanted = next(iter(schemas.items()))
        for field in schema:
            if (kind := wanted.field(field.name).type) != field.type:
                raise InputError(
                    f"{task}: {field.name} is {kind} in {before} and {field.type} in {root}; they cannot be merged"
                )


def _difference(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Returns which part of two layouts differs; "" if none does."""
    before, after = ({part["name"]: part for part in each["observations"]} for each in (one, other))
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            return f"the observation {name!r}"
    if one["action"] != other["action"]:
        return "the actions"
    return "the lengths of episodes (max_steps)" if one["max_steps"] != other["max_steps"] else ""


def _schema(shards: Sequence[Shard]) -> pa.Schema | None:
    for shard in shards:
        for entry in shard.manifest.entries[:1]:
            return shard.window(entry, 0, 1).schema
    return None


def _check_duplicates(task: str, datasets: Sequence[Dataset]) -> None:
    """Compares episodes by seed and policy; those without a seed by their steps."""
    seen: dict[tuple[object, ...], str] = {}
    for name, entry, shard in _entries(task, datasets):
        origin = entry.provenance
        key: tuple[object, ...] = (origin.seed, origin.episode, origin.policy_hash, origin.weights_version)
        if origin.seed < 0:
            key = (_content_hash(shard.episode(entry)),)
        if key in seen:
            what = f"seed {origin.seed}, {origin.policy}" if origin.seed >= 0 else "the same steps"
            raise InputError(f"{task}: episode {entry.index} of {name} is also {seen[key]} ({what}); merge it once")
        seen[key] = f"episode {entry.index} of {name}"


def _entries(task: str, datasets: Sequence[Dataset]) -> Iterator[tuple[str, EpisodeEntry, Shard]]:
    for dataset in datasets:
        for shard in dataset.shards[task]:
            for entry in shard.manifest.entries:
                yield str(dataset.root), entry, shard


def _content_hash(episode: Episode) -> bytes:
    sha256 = hashlib.sha256()
    for values in (*episode.observations.values(), episode.actions, episode.rewards):
        sha256.update(
            np.ascontiguousarray(values).tobytes() if isinstance(values, np.ndarray) else repr(values).encode()
        )
    return sha256.digest()
