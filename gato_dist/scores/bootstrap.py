"""Statistics of scores: confidence intervals, and aggregates over tasks (Agarwal et al. 2021, arXiv 2108.13264).

A *sample* holds one task's values, one for each episode: float [n]. Aggregates take a list of samples, one for each
task. Every task counts the same, no matter how many episodes it has. All resampling is seeded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
CHUNK_NUMBERS = 1 << 22  # numbers that are drawn at once: bounds the memory

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % confidence interval, from `low` to `high`."""

    value: float
    low: float
    high: float


def standard_error(sample: Sequence[float]) -> float | None:
    """Returns the standard error of the mean: s / √n, with n − 1 in the denominator of s. None for a single value."""
    return float(np.std(sample, ddof=1) / np.sqrt(len(sample))) if len(sample) > 1 else None


def success_share(successes: Sequence[bool | None]) -> float | None:
    """Returns the share of episodes with success, or None if no episode reports success.

    If at least one episode reports it, episodes that report nothing count as failures: many environments report success
    when it occurs, and never a failure.

    Args:
        successes: success of each episode; None if the episode reports nothing.
    """
    reported = any(success is not None for success in successes)
    return float(np.mean([bool(success) for success in successes])) if reported else None


def bootstrap_interval(values: Sequence[float], confidence: float = CONFIDENCE, seed: int = 0) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean, from 2000 seeded resamples (Efron, 1979).

    Args:
        values: one value for each episode.
        confidence: probability that the interval covers.
        seed: seed of the resampling.

    Returns:
        Lower and upper end.
    """
    sample = np.asarray(values, np.float64)
    draws = np.random.default_rng(seed).integers(len(sample), size=(RESAMPLES, len(sample)))
    low, high = _percentile_interval(sample[draws].mean(axis=1), confidence)
    return float(low), float(high)


def mean_of_tasks(values: Floats, weights: Floats) -> Floats:
    """Returns the weighted mean over the last axis.

    Args:
        values: float [..., N].
        weights: float [N], which add up to 1.

    Returns:
        float [...].
    """
    means: Floats = values @ weights
    return means


def interquartile_mean(values: Floats, weights: Floats | None = None) -> Floats:
    """Returns the mean over the last axis of the values between the quartiles.

    A value that a quartile cuts counts with its inner part. With equal weights and N divisible by 4 the result is
    `scipy.stats.trim_mean(values, 0.25)`, which is rliable's `aggregate_iqm`; for other N,
    rliable cuts ⌊N/4⌋ whole values.

    Args:
        values: float [..., N].
        weights: float [N]; None: equal weights.

    Returns:
        float [...].
    """
    count = values.shape[-1]
    if weights is None or np.ptp(weights) == 0:
        ordered, edges = np.sort(values, axis=-1), np.arange(count + 1) / count
        inside = np.clip(edges[1:], 0.25, 0.75) - np.clip(edges[:-1], 0.25, 0.75)
        equal: Floats = ordered @ inside / inside.sum()
        return equal
    order = np.argsort(values, axis=-1)
    ends = np.cumsum(weights[order], axis=-1) / weights.sum()
    starts = np.concatenate([np.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)
    inside = np.clip(ends, 0.25, 0.75) - np.clip(starts, 0.25, 0.75)
    weighted: Floats = (np.take_along_axis(values, order, axis=-1) * inside).sum(-1) / inside.sum(-1)
    return weighted


def stratified_estimate(
    samples: Sequence[Floats], statistic: Callable[[Floats, Floats], Floats], seed: int = 0
) -> Estimate:
    """Returns a statistic over all tasks' values, with its stratified percentile bootstrap interval.

    Each resample draws the episodes of every task from that task alone.

    Args:
        samples: one sample for each task.
        statistic: `mean_of_tasks` or `interquartile_mean`: a function of values [..., N] and of weights [N], which are
            1 / (tasks · episodes of the task).
        seed: seed of the resampling.

    Raises:
        ValueError: if there is no sample.
    """
    values, weights = _concatenate(samples)
    drawn = [statistic(resample, weights) for resample in _resamples(samples, seed)]
    low, high = _percentile_interval(np.concatenate(drawn))
    return Estimate(float(statistic(values, weights)), float(low), float(high))


def performance_profile(samples: Sequence[Floats], thresholds: Floats, seed: int = 0) -> tuple[Floats, Floats, Floats]:
    """Returns the share of tasks whose mean lies above each threshold (Reed et al. 2022, section 4.1, figure 5).

    Args:
        samples: one sample for each task.
        thresholds: float [K].
        seed: seed of the resampling.

    Returns:
        The share, and the lower and upper end of its pointwise 95 % interval (Agarwal et al., section 4.2): float [K]
        each.
    """
    means = np.array([np.mean(sample) for sample in samples])
    counts, shares = [len(sample) for sample in samples], []
    for resample in _resamples(samples, seed):
        parts = np.split(resample, np.cumsum(counts)[:-1], axis=-1)
        drawn = np.stack([part.mean(-1) for part in parts], axis=-1)
        shares.append(np.stack([(drawn > threshold).mean(-1) for threshold in thresholds], axis=-1))
    low, high = _percentile_interval(np.concatenate(shares))
    return (means[:, None] > thresholds).mean(0), low, high


def _concatenate(samples: Sequence[Floats]) -> tuple[Floats, Floats]:
    """All values and their weights, float64 [N] each."""
    if not samples:
        raise ValueError("no task to aggregate over")
    counts = [len(sample) for sample in samples]
    weights = np.repeat([1 / (len(samples) * count) for count in counts], counts)
    return np.concatenate([np.asarray(sample, np.float64) for sample in samples]), weights


def _resamples(samples: Sequence[Floats], seed: int) -> Iterator[Floats]:
    """Yields 2000 resamples in chunks of float64 [n, N]."""
    rng, total = np.random.default_rng(seed), sum(len(sample) for sample in samples)
    remaining = RESAMPLES
    while remaining:
        size = min(remaining, max(1, CHUNK_NUMBERS // total))
        parts = [np.asarray(sample, np.float64) for sample in samples]
        yield np.concatenate([part[rng.integers(len(part), size=(size, len(part)))] for part in parts], axis=1)
        remaining -= size


def _percentile_interval(drawn: Floats, confidence: float = CONFIDENCE) -> Floats:
    """Ends of the percentile interval over the first axis: [2, ...]."""
    tail = (1 - confidence) / 2
    ends: Floats = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return ends
