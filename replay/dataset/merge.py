"""Joins datasets into one, refusing by name what does not belong together and what would be there twice."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gato_dist.episode import Episode
from gato_dist.errors import InputError
from gato_dist.utils.file_names import task_file_name
from replay.dataset.dataset import Dataset
from replay.dataset.episodes import Entry, Shard, write_shard
from replay.dataset.moments import load_moments, pool, save_moments
from replay.dataset.storage import Location
from replay.dataset.writing import whole_folder, write_settings

MERGED = "merged"  # the policy of a dataset that no single collection could have made
COMMON, PER_TASK = ("policy", "checkpoint", "seed", "min_fraction"), ("min_returns", "experts")


@dataclass(frozen=True)
class _Move:
    """A shard and what is added to the indices of its episodes."""

    shard: Shard
    indices: dict[int, int]

    @property
    def stays(self) -> bool:
        return all(old == new for old, new in self.indices.items())


def merge(datasets: list[Dataset], out: Path, made: str) -> None:
    """Writes the episodes of all `datasets` at `out`, numbered anew, task by task, in the order given.

    A shard whose numbers stay is linked or copied, others are written again with the new ones. The merged dataset can
    be collected further where nothing but its tasks tells the parts apart. made: the command, for dataset.json.
    Raises InputError, before anything is written, for layouts that differ and for episodes that are there twice.
    """
    tasks = list(dict.fromkeys(task for dataset in datasets for task in dataset.shards))
    if not tasks:
        raise InputError("nothing to merge: no dataset holds an episode")
    for task in tasks:
        held = [dataset for dataset in datasets if task in dataset.shards]
        _check_layouts(task, held)
        _check_duplicates(task, held)
    with whole_folder(out) as folder:
        counts, stay = {}, True
        for task in tasks:
            moves = _moves(task, datasets)
            counts[task] = sum(len(move.shard.manifest.entries) for move in moves)
            stay &= all(move.stays for move in moves)
            for move in moves:
                _place(move, folder / task_file_name(task))
        kept = [load_moments(dataset.root) for dataset in datasets]
        parts = {task: [each[task] for each in kept if task in each] for task in tasks}
        save_moments(Location.of(folder), {task: pool(some) for task, some in parts.items() if some})
        write_settings(folder, _settings(datasets, stay) | {"episodes": counts, "made": made})


def _settings(datasets: list[Dataset], stay: bool) -> dict[str, Any]:
    """Those of all, where they agree and each task comes from one collection; then collecting goes on from here."""
    held = [task for dataset in datasets for task in dataset.shards]
    told = [{key: dataset.settings[key] for key in COMMON} for dataset in datasets]
    if not stay or len(held) != len(set(held)) or any(each != told[0] for each in told):
        return {"policy": MERGED}
    joined = {key: {} for key in PER_TASK} | told[0]
    for dataset in datasets:
        for key in PER_TASK:
            joined[key] |= dataset.settings[key]
    return joined


def _moves(task: str, datasets: list[Dataset]) -> list[_Move]:
    """Every shard of a task with its new numbers."""
    moves, count = [], 0
    for dataset in datasets:
        for shard in sorted(dataset.shards.get(task, []), key=lambda shard: min(shard.manifest.indices)):
            numbers = {old: count + i for i, old in enumerate(shard.manifest.indices)}
            moves.append(_Move(shard, numbers))
            count += len(numbers)
    return moves


def _place(move: _Move, folder: Path) -> None:
    shard, manifest = move.shard, move.shard.manifest
    path = folder / f"{min(move.indices.values()):06d}"
    if not move.stays:
        episodes = {move.indices[entry.index]: shard.episode(entry) for entry in manifest.entries}
        dropped = [replace(each, index=move.indices[each.index]) for each in manifest.dropped]
        write_shard(path, manifest.spec, episodes, dropped)
        return
    folder.mkdir(parents=True, exist_ok=True)
    _copy(shard.path, path.with_suffix(".json"))
    if manifest.entries:
        _copy(shard.parquet, path.with_suffix(".parquet"))


def _copy(source: Location, target: Path) -> None:
    """A hard link on one disk: shards are never changed in place."""
    local = Path(source.url)
    try:
        os.link(local, target)
    except OSError:
        with source.open() as file, target.open("wb") as copy:
            shutil.copyfileobj(file, copy, 2**24)


def _check_layouts(task: str, datasets: list[Dataset]) -> None:
    first = datasets[0]
    for other in datasets:
        for shard in other.shards[task]:
            known, told = (each.to_dict() for each in (first.spec(task), shard.manifest.spec))
            if wrong := _difference(known, told):
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
    """What of a layout differs, by name; empty where nothing does."""
    before, after = ({part["name"]: part for part in each["observations"]} for each in (one, other))
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            return f"the observation {name!r}"
    if one["action"] != other["action"]:
        return "the actions"
    return "the lengths of episodes (max_steps)" if one["max_steps"] != other["max_steps"] else ""


def _schema(shards: list[Shard]) -> pa.Schema | None:
    for shard in shards:
        for entry in shard.manifest.entries[:1]:
            return shard.window(entry, 0, 1).schema
    return None


def _check_duplicates(task: str, datasets: list[Dataset]) -> None:
    """Where a seed is known, an episode is what it and its policy make of the world; elsewhere, what it holds."""
    seen: dict[tuple, str] = {}
    for name, entry, shard in _entries(task, datasets):
        source = entry.provenance
        key: tuple = (source.seed, source.episode, source.policy_hash, source.weights_version)
        if source.seed < 0:
            key = (_digest(shard.episode(entry)),)
        if key in seen:
            what = f"seed {source.seed}, {source.policy}" if source.seed >= 0 else "the same steps"
            raise InputError(f"{task}: episode {entry.index} of {name} is also {seen[key]} ({what}); merge it once")
        seen[key] = f"episode {entry.index} of {name}"


def _entries(task: str, datasets: list[Dataset]) -> Iterator[tuple[str, Entry, Shard]]:
    for dataset in datasets:
        for shard in dataset.shards[task]:
            for entry in shard.manifest.entries:
                yield str(dataset.root), entry, shard


def _digest(episode: Episode) -> bytes:
    digest = hashlib.sha256()
    for values in (*episode.observations.values(), episode.actions, episode.rewards):
        digest.update(
            np.ascontiguousarray(values).tobytes() if isinstance(values, np.ndarray) else repr(values).encode()
        )
    return digest.digest()
