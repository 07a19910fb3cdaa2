"""The newest weights, and how soon actors use them."""

import pytest

from actors.coordination.weights import NewestWeights, PublishedWeights
from gato_dist.telemetry import UseDelays


def weights(version: int) -> PublishedWeights:
    return PublishedWeights(version=version, step=10, reference=f"weights {version}", published=0.0)


def test_a_published_version_must_be_newer_than_the_current_one():
    newest = NewestWeights()
    newest.publish(weights(3))
    for version in (3, 2):
        with pytest.raises(ValueError, match="does not follow 3"):
            newest.publish(weights(version))
    assert newest.current == weights(3)


def test_the_version_is_zero_before_the_first_publication():
    newest = NewestWeights()
    assert (newest.current, newest.version) == (None, 0)
    newest.publish(weights(4))
    assert newest.version == 4


def test_use_delays_are_percentiles_over_all_uses():
    newest = NewestWeights()
    assert newest.use_delays() is None
    for delay in range(101):
        newest.record_use(float(delay))
    assert newest.use_delays() == UseDelays(p50=50.0, p99=99.0)
