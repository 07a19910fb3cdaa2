"""Subsets of a dataset's episodes for a few-shot experiment.

Each series draws a random order of the episodes. Its subset of N episodes are the first N in that order, so that
subsets of a series are nested, and subsets of different series differ.
"""

from pathlib import Path

import numpy as np

from gato_dist.errors import InputError
from gato_dist.experiments.few_shot_plan import FewShotRun
from gato_dist.utils.file_names import task_file_name
from replay.dataset.dataset import Dataset
from replay.dataset.observation_moments import load_moments, save_moments
from replay.dataset.shards import EpisodeEntry, Shard, write_shard
from replay.dataset.storage import Location
from replay.dataset.writing import atomic_folder, write_settings


def check_size(dataset: Dataset, task: str, episodes: int) -> None:
    """Raises InputError if a dataset holds fewer episodes of a task, or does not know the task."""
    dataset.spec(task)
    count = len(_entries(dataset, task))
    if count < episodes:
        raise InputError(f"--episodes: {dataset.root} holds {count} episodes of {task}, but {episodes} are needed")


def write_subset(dataset: Dataset, task: str, run: FewShotRun, seed: int, out: Path) -> None:
    """Writes the episodes that a run learns from as a dataset. An interrupted write leaves no dataset.

    Args:
        dataset: holds the task's episodes.
        task: the task.
        run: gives the series and the number of episodes.
        seed: of the experiment.
        out: the new dataset's folder.
    """
    entries = _entries(dataset, task)
    order = np.random.default_rng([seed, run.series]).permutation(len(entries))[: run.episodes]
    with atomic_folder(out) as folder:
        episodes = {}
        for index in sorted(order.tolist()):
            shard, entry = entries[index]
            episodes[index] = shard.episode(entry)
        path = folder / task_file_name(task) / "000000"
        path.parent.mkdir()
        write_shard(path, dataset.spec(task), episodes)
        moments = load_moments(dataset.root)
        save_moments(Location.of(str(folder)), {task: moments[task]} if task in moments else {})
        write_settings(folder, {"policy": dataset.settings["policy"], "episodes": {task: len(order)}})


def _entries(dataset: Dataset, task: str) -> list[tuple[Shard, EpisodeEntry]]:
    return [(shard, entry) for shard in dataset.shards[task] for entry in shard.manifest.entries]
