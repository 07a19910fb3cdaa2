"""What a dataset holds, task by task, from its manifests alone: for cards and pictures."""

from dataclasses import dataclass

import numpy as np

from gato_dist.specs import TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.statistics import TaskStatistics


@dataclass(frozen=True)
class TaskSummary:
    """One task that has episodes. returns, lengths: of each of them, [n].

    policies: name to content hash; versions: of the packages that made the episodes, by name; days: first and last
    date, of those that tell.
    """

    spec: TaskSpec
    folder: str
    figures: TaskStatistics
    returns: np.ndarray
    lengths: np.ndarray
    policies: dict[str, str]
    versions: dict[str, set[str]]
    days: tuple[str, ...]


def summarize(dataset: Dataset) -> list[TaskSummary]:
    """In the order of the dataset's tasks."""
    return [_summary(dataset, task) for task in dataset.shards if any(each.entries for each in dataset.manifests(task))]


def _summary(dataset: Dataset, task: str) -> TaskSummary:
    manifests = dataset.manifests(task)
    entries = [entry for manifest in manifests for entry in manifest.entries]
    sources = [entry.provenance for entry in entries]
    days = sorted({source.created[:10] for source in sources if source.created})
    versions: dict[str, set[str]] = {}
    for source in sources:
        for package, version in source.versions.items():
            versions.setdefault(package, set()).add(version)
    return TaskSummary(
        manifests[0].spec,
        dataset.shards[task][0].path.parent.name,
        TaskStatistics.of(manifests),
        np.array([entry.episode_return for entry in entries]),
        np.array([entry.steps for entry in entries], np.int64),
        {source.policy: source.policy_hash for source in sources},
        versions,
        tuple(days[:1] + days[-1:]),
    )
