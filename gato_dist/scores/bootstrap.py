"""Statistics of scores: intervals of means, and aggregates over tasks (Agarwal et al. 2021, arXiv 2108.13264).

A *sample* is one task's values, an episode each: float [n]. Aggregates take a list of samples, one a task; every task
counts the same, however many episodes it has. All resampling is seeded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
CONFIDENCE = 0.95
CHUNK_NUMBERS = 1 << 22  # drawn at once, which bounds the memory


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its 95 % interval."""

    value: float
    low: float
    high: float


def standard_error(sample: Sequence[float]) -> float | None:
    """Of the mean: s / √n, s with n − 1 in the denominator. None where a single value tells no spread."""
    return float(np.std(sample, ddof=1) / np.sqrt(len(sample))) if len(sample) > 1 else None


def success_share(told: Sequence[bool | None]) -> float | None:
    """Share of episodes with success; None if no episode tells of it.

    Once one does, an episode that tells nothing had none: many environments speak of success when it comes, and never
    of failure.

    Args:
        told: each episode's success, None if the episode tells nothing.
    """
    return float(np.mean([bool(each) for each in told])) if any(each is not None for each in told) else None


def bootstrap_interval(values: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean, from 2000 seeded resamples (Efron, 1979)."""
    sample = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(len(sample), size=(RESAMPLES, len(sample)))
    low, high = _ends(sample[draws].mean(axis=1), confidence)
    return float(low), float(high)


def mean_of_tasks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean over the last axis: [..., N] and weights [N], which add up to 1, to [...]."""
    return values @ weights


def interquartile_mean(values: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Mean over the last axis of what lies between the quartiles: [..., N] and weights [N] to [...].

    A value that a quartile cuts counts with the share that lies inside. With equal weights and N divisible by 4 that is
    `scipy.stats.trim_mean(values, 0.25)`, rliable's `aggregate_iqm`, which for other N cuts ⌊N/4⌋ whole values.
    """
    count = values.shape[-1]
    if weights is None or np.ptp(weights) == 0:
        ordered, edges = np.sort(values, axis=-1), np.arange(count + 1) / count
        inside = np.clip(edges[1:], 0.25, 0.75) - np.clip(edges[:-1], 0.25, 0.75)
        return ordered @ inside / inside.sum()
    order = np.argsort(values, axis=-1)
    ends = np.cumsum(weights[order], axis=-1) / weights.sum()
    starts = np.concatenate([np.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)
    inside = np.clip(ends, 0.25, 0.75) - np.clip(starts, 0.25, 0.75)
    return (np.take_along_axis(values, order, axis=-1) * inside).sum(-1) / inside.sum(-1)


def stratified_estimate(
    samples: Sequence[np.ndarray], statistic: Callable[[np.ndarray, np.ndarray], np.ndarray], seed: int = 0
) -> Estimate:
    """`statistic` over all tasks' values, with its stratified percentile bootstrap interval.

    Each resample draws every task's episodes anew from that task alone. statistic: `mean_of_tasks` or
    `interquartile_mean`, of values [..., N] and weights [N], 1 / (tasks · episodes of the task). Raises ValueError
    without tasks.
    """
    values, weights = _flat(samples)
    drawn = [statistic(resample, weights) for resample in _resamples(samples, seed)]
    low, high = _ends(np.concatenate(drawn))
    return Estimate(float(statistic(values, weights)), float(low), float(high))


def performance_profile(
    samples: Sequence[np.ndarray], thresholds: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of tasks whose mean lies above each threshold, and its pointwise 95 % interval: three float [K].

    The figure of Reed et al. 2022 (section 4.1, figure 5), with the band of Agarwal et al. (section 4.2).
    """
    means = np.array([np.mean(sample) for sample in samples])
    counts, band = [len(sample) for sample in samples], []
    for resample in _resamples(samples, seed):
        parts = np.split(resample, np.cumsum(counts)[:-1], axis=-1)
        drawn = np.stack([part.mean(-1) for part in parts], axis=-1)
        band.append(np.stack([(drawn > threshold).mean(-1) for threshold in thresholds], axis=-1))
    low, high = _ends(np.concatenate(band))
    return (means[:, None] > thresholds).mean(0), low, high


def _flat(samples: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    if not samples:
        raise ValueError("no task to aggregate over")
    counts = [len(sample) for sample in samples]
    weights = np.repeat([1 / (len(samples) * count) for count in counts], counts)
    return np.concatenate([np.asarray(sample, np.float64) for sample in samples]), weights


def _resamples(samples: Sequence[np.ndarray], seed: int) -> Iterator[np.ndarray]:
    """2000 resamples float64 [some, N], a chunk at a time."""
    rng, total = np.random.default_rng(seed), sum(len(sample) for sample in samples)
    left = RESAMPLES
    while left:
        some = min(left, max(1, CHUNK_NUMBERS // total))
        parts = [np.asarray(sample, np.float64) for sample in samples]
        yield np.concatenate([part[rng.integers(len(part), size=(some, len(part)))] for part in parts], axis=1)
        left -= some


def _ends(drawn: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    """Ends of the percentile interval over the first axis: [2, ...]."""
    tail = (1 - confidence) / 2
    return np.quantile(drawn, [tail, 1 - tail], axis=0)
