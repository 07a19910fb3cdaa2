"""What the manifests of a task's shards tell of its episodes, without reading a step."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from gato_dist.scores.bootstrap import success_share
from replay.dataset.episodes import Manifest

BINS = 12


@dataclass(frozen=True)
class TaskStatistics:
    """Of the episodes that were kept; returns' figures are NaN where none was.

    played: kept and dropped ones. success: share, None where the task reports none. histogram: episodes in each of
    `BINS` equal intervals from the least return to the highest. bytes: of Parquet files. policies: `name hash`.
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
    def of(cls, manifests: Iterable[Manifest]) -> "TaskStatistics":
        manifests = list(manifests)
        entries = [entry for manifest in manifests for entry in manifest.entries]
        returns = np.array([entry.episode_return for entry in entries])
        finite = returns[np.isfinite(returns)]
        mean, std, low, high = (float(f(returns)) if entries else np.nan for f in (np.mean, np.std, np.min, np.max))
        return cls(
            len(entries), sum(len(manifest.indices) for manifest in manifests), sum(entry.steps for entry in entries),
            mean, std, low, high, tuple(np.histogram(finite, BINS)[0].tolist()),
            success_share([entry.success for entry in entries]),
            sum(manifest.bytes for manifest in manifests),
            tuple(sorted({f"{entry.provenance.policy} {entry.provenance.policy_hash}" for entry in entries})),
        )  # fmt: skip
