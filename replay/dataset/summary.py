"""What a dataset holds, task by task. Reads only manifests, no steps."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gato_dist.scores.bootstrap import success_share
from gato_dist.specs import TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.shards import Manifest

BINS = 12


@dataclass(frozen=True, kw_only=True)
class TaskStatistics:
    """Statistics of a task's episodes. Only `played` counts dropped episodes too.

    Attributes:
        episodes: number of episodes.
        played: number of episodes that were played, kept or dropped.
        steps: number of steps.
        return_mean, return_std, return_min, return_max: of returns; NaN without an episode.
        histogram: number of episodes in each of `BINS` equal intervals from the lowest return to the highest.
        success: share of successful episodes; None if the task reports no success.
        bytes: size of the Parquet files.
        policies: `name hash` of every policy.
    """

    episodes: int
    played: int
    steps: int
    return_mean: float
    return_std: float
    return_min: float
    return_max: float
    histogram: tuple[int, ...]
    success: float | None
    bytes: int
    policies: tuple[str, ...]

    @classmethod
    def of(cls, manifests: Sequence[Manifest]) -> "TaskStatistics":
        """Returns the statistics of a task from the manifests of its shards."""
        entries = [entry for manifest in manifests for entry in manifest.entries]
        returns = np.array([entry.episode_return for entry in entries])
        mean, std, low, high = (float(f(returns)) if entries else np.nan for f in (np.mean, np.std, np.min, np.max))
        return cls(
            episodes=len(entries),
            played=sum(len(manifest.indices) for manifest in manifests),
            steps=sum(entry.steps for entry in entries),
            return_mean=mean,
            return_std=std,
            return_min=low,
            return_max=high,
            histogram=tuple(np.histogram(returns[np.isfinite(returns)], BINS)[0].tolist()),
            success=success_share([entry.success for entry in entries]),
            bytes=sum(manifest.bytes for manifest in manifests),
            policies=tuple(sorted({f"{each.provenance.policy} {each.provenance.policy_hash}" for each in entries})),
        )


@dataclass(frozen=True, kw_only=True)
class TaskSummary:
    """One task that has episodes.

    Attributes:
        spec: the task's layout.
        folder: name of its folder in the dataset.
        statistics: of its episodes.
        returns: float64 [episodes].
        lengths: steps of each episode, int64 [episodes].
        policies: name → content hash.
        versions: package → its versions that made episodes.
        days: first and last date (YYYY-MM-DD); empty if no episode has one.
    """

    spec: TaskSpec
    folder: str
    statistics: TaskStatistics
    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    policies: dict[str, str]
    versions: dict[str, set[str]]
    days: tuple[str, ...]


def summarize(dataset: Dataset) -> list[TaskSummary]:
    """Returns a summary of every task that has episodes, in the dataset's order."""
    tasks = [task for task in dataset.shards if any(manifest.entries for manifest in dataset.manifests(task))]
    return [_summarize_task(dataset, task) for task in tasks]


def _summarize_task(dataset: Dataset, task: str) -> TaskSummary:
    manifests = dataset.manifests(task)
    entries = [entry for manifest in manifests for entry in manifest.entries]
    origins = [entry.provenance for entry in entries]
    days = sorted({origin.created[:10] for origin in origins if origin.created})
    versions: dict[str, set[str]] = {}
    for origin in origins:
        for package, version in origin.versions.items():
            versions.setdefault(package, set()).add(version)
    return TaskSummary(
        spec=manifests[0].spec,
        folder=dataset.shards[task][0].path.parent.name,
        statistics=TaskStatistics.of(manifests),
        returns=np.array([entry.episode_return for entry in entries]),
        lengths=np.array([entry.steps for entry in entries], np.int64),
        policies={origin.policy: origin.policy_hash for origin in origins},
        versions=versions,
        days=tuple(days[:1] + days[-1:]),
    )
