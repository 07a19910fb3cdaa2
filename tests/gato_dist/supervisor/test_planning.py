"""How the interval between calls to the coordinator grows with the number of processes."""

import pytest

from gato_dist.config.run_config import load_config
from gato_dist.supervisor.planning import COORDINATOR_CALLS, poll_interval_scale

TINY = "configs/cluster/tiny.yaml"  # one task, two replay servers, one learner worker, one evaluator


def test_a_small_run_does_not_scale_the_interval():
    assert poll_interval_scale(load_config(TINY)) == 1.0


def test_ten_thousand_experts_together_make_as_many_calls_as_the_coordinator_answers():
    poll_scale = poll_interval_scale(load_config(TINY, ["actors.copies=10000"]))
    # Three for each expert, seven for the evaluator, and seven plus one for each server for the learner worker.
    assert poll_scale * COORDINATOR_CALLS == pytest.approx(30_000 + 7 + 7 + 2)


def test_learner_workers_call_for_every_server_that_they_read_from():
    overrides = ["learner.workers=256", "learner.batch=256", "replay.shards=64", "actors.copies=64"]
    assert poll_interval_scale(load_config(TINY, overrides)) * COORDINATOR_CALLS == pytest.approx(
        3 * 64 + 7 + 256 * (7 + 64)
    )


def test_gato_actors_make_calls_too():
    few, many = (
        poll_interval_scale(load_config(TINY, ["actors.copies=5000", f"relabel.actors={count}"])) for count in (0, 2000)
    )
    assert (many - few) * COORDINATOR_CALLS == pytest.approx(7 * 2000)
