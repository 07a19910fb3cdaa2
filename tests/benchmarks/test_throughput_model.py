"""The model of a cluster's throughput: each part bounds it in turn."""

from dataclasses import replace

import pytest

from tests.benchmarks.throughput_model import Plan, Rates, predict, row_seconds, standing_cores

RATES = Rates(
    actor_rows=10.0, actor_cpu=0.1, shard_rows=1000.0, shard_cpu=1e-3, learner_rows=200.0, learner_cpu=5e-3,
    row_bytes=1000.0, row_tokens=128.0, weights_bytes=1e6,
)  # fmt: skip
ROOMY = Plan(actors=1000, shards=100, learners=100, samples_per_insert=4.0)


@pytest.mark.parametrize(
    ("changed", "part", "rows"),
    [
        ({"learners": 1}, "learner", 200.0),
        ({"learners": 8, "efficiency": 0.5}, "learner", 800.0),
        ({"actors": 2}, "actors", 80.0),
        ({"shards": 1}, "replay servers", 800.0),
        ({"shards": 2, "link_bytes": 1e5}, "replay links", 200.0),
        ({"link_bytes": 1e5, "learners_per_node": 50}, "learner links", 200.0),
        ({"shared_cores": 2.0}, "shared cores", 2.0 / (0.005 + 0.00125 + 0.025)),
    ],
)
def test_the_part_that_bounds_a_run_is_named(changed, part, rows):
    predicted = predict(RATES, replace(ROOMY, **changed))
    assert predicted.bottleneck == part
    assert predicted.rows == pytest.approx(rows)


def test_rows_that_are_read_once_are_written_as_often():
    once = predict(RATES, replace(ROOMY, samples_per_insert=1.0))
    assert once.limits["actors"] == pytest.approx(10_000)
    assert once.limits["replay servers"] == pytest.approx(50_000)


def test_weights_leave_the_publishing_node_once_for_every_node():
    plan = replace(ROOMY, gato_nodes=90, publish_seconds=9.0, link_bytes=1e8)
    assert predict(RATES, plan).broadcast == pytest.approx(0.1)


def test_what_a_run_takes_before_it_makes_a_row_is_taken_from_the_cores_first():
    rates = replace(RATES, run_cpu=0.5, node_cpu=0.25)
    plan = replace(ROOMY, shared_cores=2.0, shared_nodes=3)
    # A row: 5 ms of the learner, 1.25 of replay, a quarter of 100 of an actor. Three nodes: 0.5 + 2 · 0.25 cores.
    assert row_seconds(rates, plan) == pytest.approx(0.03125)
    assert standing_cores(rates, plan) == pytest.approx(1.0)
    assert predict(rates, plan).limits["shared cores"] == pytest.approx(32.0)
    assert predict(rates, replace(plan, shared_nodes=10)).limits["shared cores"] == 0.0
