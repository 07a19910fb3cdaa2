"""What a dataset holds, task by task, from its manifests alone: for tables, cards and pictures."""

from dataclasses import dataclass

import numpy as np

from gato_dist.specs import TaskSpec
from replay.dataset import Dataset


@dataclass(frozen=True)
class TaskSummary:
    """One task. returns, lengths: of each episode; success: share of those that tell, None where none does.

    policies: name to content hash; versions, days: of the packages and the dates that made the episodes; bytes: of
    its Parquet files.
    """

    spec: TaskSpec
    folder: str
    returns: np.ndarray
    lengths: np.ndarray
    success: float | None
    policies: dict[str, str]
    versions: dict[str, str]
    days: tuple[str, str]
    bytes: int

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())


def summarize(dataset: Dataset) -> list[TaskSummary]:
    """In the order of the dataset's tasks."""
    return [_summary(dataset, task) for task in dataset.shards if any(each.entries for each in dataset.manifests(task))]


def _summary(dataset: Dataset, task: str) -> TaskSummary:
    shards, manifests = dataset.shards[task], dataset.manifests(task)
    entries = [entry for manifest in manifests for entry in manifest.entries]
    told = [entry.success for entry in entries if entry.success is not None]
    sources = [entry.provenance for entry in entries]
    days = sorted(source.created[:10] for source in sources if source.created) or [""]
    versions: dict[str, set[str]] = {}
    for source in sources:
        for package, version in source.versions.items():
            versions.setdefault(package, set()).add(version)
    return TaskSummary(
        manifests[0].spec,
        shards[0].path.parent.name,
        np.array([entry.episode_return for entry in entries]),
        np.array([entry.steps for entry in entries], np.int64),
        float(np.mean(told)) if told else None,
        {source.policy: source.policy_hash for source in sources},
        {package: ", ".join(sorted(found)) for package, found in sorted(versions.items())},
        (days[0], days[-1]),
        sum(manifest.bytes for manifest in manifests),
    )
