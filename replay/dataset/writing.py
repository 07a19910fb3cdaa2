"""What every foreign format shares: a dataset written from a stream of episodes, whole or not at all."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from gato_dist.episode import Episode
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import TaskSpec
from gato_dist.tasks import is_imported
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import to_json
from replay.dataset.dataset import FORMAT, SETTINGS, Dataset
from replay.dataset.episodes import Shard, write_shard
from replay.dataset.faults import shard_faults
from replay.dataset.moments import TaskMoments, moments_of, pool, save_moments
from replay.dataset.storage import Location

SHARD = 16  # episodes, as `gato-dist collect` writes them
TASK_NAME = re.compile(r"\w[\w+:.-]*(/\w[\w+:.-]*)+")


@dataclass(frozen=True)
class Source:
    """One task of a foreign set: its layout, and its episodes, read as they are asked for."""

    spec: TaskSpec
    episodes: Iterable[Episode]


def write_dataset(out: Path, sources: Iterable[Source], policy: str, made: str) -> None:
    """Writes a dataset of `sources` at `out`, which must not exist; no more than a shard of it is held in memory.

    policy, made: what dataset.json says of where the episodes come from, and the command that brought them here.
    Raises InputError for a name that is none, a task that comes twice, and values outside a task's layout.
    """
    with whole_folder(out) as folder:
        counts: dict[str, int] = {}
        moments: dict[str, TaskMoments] = {}
        for source in sources:
            task = source.spec.name
            if not TASK_NAME.fullmatch(task):
                raise InputError(f"{task!r} is no name of a task, such as suite/name (letters, digits and _+:.-)")
            if task in counts:
                raise InputError(f"{task} comes twice; import the two into datasets of their own")
            counts[task], found = _write_task(folder, source)
            if is_imported(task):
                moments[task] = found
        if not counts:
            raise InputError(f"{out}: nothing to write: no task was found")
        save_moments(Location.of(folder), moments)
        write_settings(folder, {"policy": policy, "episodes": counts, "made": made})


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """dataset.json, over what stands there. settings: without the format."""
    (folder / SETTINGS).write_text(to_json({"format": FORMAT} | settings, indent=1) + "\n", "utf-8")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A folder to write into, which gets the name `out` at the end, or vanishes where something fails.

    Raises InputError where `out` exists and is no empty folder, or another process writes it.
    """
    _check_empty(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with hold_file(out):
        # The one that had it may have written it meanwhile.
        _check_empty(out)
        partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
        partial.mkdir()
        try:
            yield partial
            partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _check_empty(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give another --out")


def naming(where: Path, episodes: Iterator[Episode]) -> Iterator[Episode]:
    """The same episodes; what a library says of damaged files becomes an InputError that names the place."""
    try:
        yield from episodes
    except READ_ERRORS as error:
        raise InputError(f"{where}: cannot be read: {brief(error)}") from error


def kept_shards(dataset: Dataset) -> dict[str, list[Shard]]:
    """By task, those that hold an episode: of some, all were dropped."""
    held = {task: [each for each in shards if each.manifest.entries] for task, shards in dataset.shards.items()}
    return {task: shards for task, shards in held.items() if shards}


def check_distinct(names: dict[str, str]) -> None:
    """names: by task. Raises InputError if two tasks would share a name, on some file systems at least."""
    taken: dict[str, str] = {}
    for task, name in names.items():
        if name.casefold() in taken:
            raise InputError(f"{task} and {taken[name.casefold()]} would both be named {name}; export them apart")
        taken[name.casefold()] = task


def _write_task(root: Path, source: Source) -> tuple[int, TaskMoments]:
    """The number of episodes, and their moments where the task is known from its dataset alone."""
    count, some, episodes = 0, [], (episode for episode in source.episodes if len(episode))
    while batch := list(islice(episodes, SHARD)):
        path = root / task_file_name(source.spec.name) / f"{count:06d}"
        write_shard(path, source.spec, {count + i: episode for i, episode in enumerate(batch)})
        if faults := shard_faults(Shard(path.with_suffix(".json"))):
            raise InputError(f"{source.spec.name}: {faults[0].split(': ', 1)[1]}")
        if is_imported(source.spec.name):
            some.append(moments_of(source.spec, batch))
        count += len(batch)
    if not count:
        raise InputError(f"{source.spec.name}: holds no episode")
    return count, pool(some)
