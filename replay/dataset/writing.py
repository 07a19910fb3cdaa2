"""Writes a dataset from streams of episodes, completely or not at all. Importers of foreign formats use it."""

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
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
from replay.dataset.observation_moments import TaskMoments, measure_moments, pool_moments, save_moments
from replay.dataset.shards import Shard, write_shard
from replay.dataset.storage import Location
from replay.dataset.validation import shard_faults

SHARD_EPISODES = 16  # as in `gato-dist collect`
TASK_NAME = re.compile(r"\w[\w+:.-]*(/\w[\w+:.-]*)+")


@dataclass(frozen=True)
class EpisodeStream:
    """The episodes of one task.

    Attributes:
        spec: the task's layout.
        episodes: may be read lazily.
    """

    spec: TaskSpec
    episodes: Iterable[Episode]


def write_dataset(out: Path, streams: Iterable[EpisodeStream], policy: str, made: str) -> None:
    """Writes a dataset. At most one shard of episodes is in memory at a time.

    Args:
        out: the dataset's folder, which must not exist.
        streams: one for each task.
        policy: what played the episodes, for dataset.json.
        made: the command, for dataset.json.

    Raises:
        InputError: a task's name is invalid or occurs twice, a value is outside the task's layout, or there is no
            episode. Nothing is left then.
    """
    with atomic_folder(out) as folder:
        counts: dict[str, int] = {}
        moments: dict[str, TaskMoments] = {}
        for stream in streams:
            task = stream.spec.name
            if not TASK_NAME.fullmatch(task):
                raise InputError(f"{task!r} is no name of a task, such as suite/name (letters, digits and _+:.-)")
            if task in counts:
                raise InputError(f"{task} comes twice; import the two into datasets of their own")
            counts[task], found = _write_task(folder, stream)
            if is_imported(task):
                moments[task] = found
        if not counts:
            raise InputError(f"{out}: nothing to write: no task was found")
        save_moments(Location.of(folder), moments)
        write_settings(folder, {"policy": policy, "episodes": counts, "made": made})


def write_settings(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes dataset.json. `settings` are all keys but the format."""
    (folder / SETTINGS).write_text(to_json({"format": FORMAT} | dict(settings), indent=1) + "\n", "utf-8")


@contextmanager
def atomic_folder(out: Path) -> Iterator[Path]:
    """Yields a folder to write into. It becomes `out` at the end, or is deleted if an error occurs.

    Raises:
        InputError: `out` exists and is not an empty folder, or another process is writing it.
    """
    _check_empty(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with hold_file(out):
        # Another process may have written it before this one got the lock.
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
        raise InputError(f"{out}: exists already; give another --out")


def naming_errors(where: Path, episodes: Iterable[Episode]) -> Iterator[Episode]:
    """Yields the same episodes.

    Raises:
        InputError: a library could not read damaged files; the message names `where`.
    """
    try:
        yield from episodes
    except READ_ERRORS as error:
        raise InputError(f"{where}: cannot be read: {brief(error)}") from error


def shards_with_episodes(dataset: Dataset) -> dict[str, list[Shard]]:
    """Returns task → the shards that hold episodes. Shards and tasks whose episodes were all dropped are left out."""
    kept = {task: [each for each in shards if each.manifest.entries] for task, shards in dataset.shards.items()}
    return {task: shards for task, shards in kept.items() if shards}


def check_unique_names(names: Mapping[str, str]) -> None:
    """Checks that no two tasks get the same name in an export.

    Upper and lower case count as equal, because some file systems do not distinguish them.

    Args:
        names: task → name.

    Raises:
        InputError: two tasks would share a name.
    """
    taken: dict[str, str] = {}
    for task, name in names.items():
        if name.casefold() in taken:
            raise InputError(f"{task} and {taken[name.casefold()]} would both be named {name}; export them separately")
        taken[name.casefold()] = task


def _write_task(root: Path, stream: EpisodeStream) -> tuple[int, TaskMoments]:
    """Returns the number of episodes, and the moments of an imported task."""
    task = stream.spec.name
    count, moments = 0, []
    episodes = (episode for episode in stream.episodes if len(episode))
    while batch := list(islice(episodes, SHARD_EPISODES)):
        path = root / task_file_name(task) / f"{count:06d}"
        write_shard(path, stream.spec, {count + i: episode for i, episode in enumerate(batch)})
        if faults := shard_faults(Shard(path.with_suffix(".json"))):
            raise InputError(f"{task}: {faults[0].split(': ', 1)[1]}")
        if is_imported(task):
            moments.append(measure_moments(stream.spec, batch))
        count += len(batch)
    if not count:
        raise InputError(f"{task}: holds no episode")
    return count, pool_moments(moments)
