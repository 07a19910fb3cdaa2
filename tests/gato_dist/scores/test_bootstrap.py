"""Statistics of scores, compared with values by hand and with scipy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gato_dist.scores.bootstrap import (
    bootstrap_interval,
    interquartile_mean,
    mean_of_tasks,
    performance_profile,
    standard_error,
    stratified_estimate,
)

floats = st.floats(-100, 100)


def test_the_bootstrap_interval_is_reproducible_and_contains_the_mean():
    values = [0.0, 1.0] * 50
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    # The mean's standard error is 0.5/√100: the interval is about 0.5 ± 0.098.
    assert low == pytest.approx(0.402, abs=0.02)
    assert high == pytest.approx(0.598, abs=0.02)


def test_equal_returns_have_an_interval_of_width_zero():
    assert bootstrap_interval([3.0] * 8) == (3.0, 3.0)


def test_the_bootstrap_interval_equals_scipys():
    values = np.random.default_rng(3).gamma(2.0, size=40)
    theirs = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=0)
    assert bootstrap_interval(values) == pytest.approx(tuple(theirs.confidence_interval), rel=0.02)


def test_the_standard_error_equals_scipys_and_is_unknown_for_one_value():
    assert standard_error([1.0, 2.0, 4.0]) == pytest.approx(float(stats.sem([1.0, 2.0, 4.0])))
    assert standard_error([1.0]) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([9, 1, 2, -50], 1.5),  # a quarter at each end leaves
        ([1, 2, 4], (0.25 * 1 + 2 + 0.25 * 4) / 1.5),  # 1/12 of a third on each side stays
        ([1, 5], 3),
        ([7], 7),
    ],
)
def test_the_interquartile_mean_of_small_samples(values, expected):
    assert interquartile_mean(np.array(values, float)) == pytest.approx(expected)


@given(st.lists(floats, min_size=1, max_size=8).map(lambda values: values * 4))
def test_the_interquartile_mean_of_4n_values_equals_scipys_trimmed_mean(values):
    assert interquartile_mean(np.array(values)) == pytest.approx(float(stats.trim_mean(values, 0.25)), abs=1e-9)


@given(st.lists(st.tuples(floats, st.integers(1, 5)), min_size=1, max_size=8))
def test_a_weight_of_k_counts_like_k_equal_values(pairs):
    values, counts = (np.array(each, float) for each in zip(*pairs, strict=True))
    repeated = np.repeat(values, counts.astype(int))
    assert interquartile_mean(values, counts / counts.sum()) == pytest.approx(interquartile_mean(repeated), abs=1e-9)


def test_tasks_count_the_same_however_many_episodes_they_have():
    few, many = np.array([1.0]), np.zeros(99)
    assert stratified_estimate([few, many], mean_of_tasks).value == pytest.approx(0.5)


def test_a_stratified_interval_ignores_the_spread_between_tasks():
    """Each task's episodes are equal: however the tasks differ, a resample is the sample."""
    estimate = stratified_estimate([np.full(5, 0.1), np.full(5, 0.9)], mean_of_tasks)
    assert (estimate.low, estimate.value, estimate.high) == pytest.approx((0.5, 0.5, 0.5))


def test_the_stratified_interval_equals_scipys():
    rng = np.random.default_rng(0)
    samples = [rng.normal(mean, 1.0, size=30) for mean in (0.0, 2.0, 5.0)]

    def mean(*parts, axis):
        return np.mean([part.mean(axis=axis) for part in parts], axis=0)

    theirs = stats.bootstrap(samples, mean, n_resamples=10_000, method="percentile", random_state=1)
    ours = stratified_estimate(samples, mean_of_tasks)
    assert (ours.low, ours.high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.02)


def test_the_interval_of_the_iqm_is_narrower_than_that_of_a_mean_with_outliers():
    rng = np.random.default_rng(0)
    samples = [np.where(rng.random(40) < 0.1, 50.0, rng.normal(size=40)) for _ in range(4)]
    mean, iqm = (stratified_estimate(samples, statistic) for statistic in (mean_of_tasks, interquartile_mean))
    assert iqm.high - iqm.low < 0.3 * (mean.high - mean.low)


def test_large_samples_are_resampled_in_chunks_with_the_same_spread(monkeypatch):
    sample = [np.random.default_rng(0).normal(size=200)]
    whole = stratified_estimate(sample, mean_of_tasks)
    monkeypatch.setattr("gato_dist.scores.bootstrap.CHUNK_NUMBERS", 1000)
    chunked = stratified_estimate(sample, mean_of_tasks)
    assert (chunked.low, chunked.high) == pytest.approx((whole.low, whole.high), abs=0.02)


def test_the_profile_is_the_share_of_tasks_above_each_threshold():
    samples = [np.array([0.25, 0.5]), np.array([0.75]), np.array([0.5])]
    share, low, high = performance_profile(samples, np.array([0, 0.375, 0.5, 1]))
    assert share.tolist() == pytest.approx([1, 2 / 3, 1 / 3, 0])  # a task at the threshold is not above it
    assert (low <= share).all()
    assert (share <= high).all()
    assert low[1] == pytest.approx(2 / 3)  # the first task's episodes may both be its worse, or its better
    assert high[1] == pytest.approx(1)


def test_an_estimate_without_tasks_is_refused():
    with pytest.raises(ValueError, match="no task"):
        stratified_estimate([], mean_of_tasks)
