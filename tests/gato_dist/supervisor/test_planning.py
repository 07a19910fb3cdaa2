"""How much less often a run's processes speak to its coordinator where there are many of them."""

import pytest

from gato_dist.config.run_config import load_config
from gato_dist.supervisor.planning import COORDINATOR_CALLS, poll_interval_scale

TINY = "configs/cluster/tiny.yaml"  # one task, two replay servers, one learner worker, one evaluator


def test_a_run_of_one_machine_speaks_once_a_second():
    assert poll_interval_scale(load_config(TINY)) == 1.0


def test_the_calls_of_ten_thousand_experts_come_to_what_the_board_answers():
    poll_scale = poll_interval_scale(load_config(TINY, ["actors.copies=10000"]))
    # Three of an expert, seven of the evaluator, seven and one for each server of the learner's worker.
    assert poll_scale * COORDINATOR_CALLS == pytest.approx(30_000 + 7 + 7 + 2)


def test_learner_workers_count_with_every_server_that_they_read():
    words = ["learner.workers=256", "learner.batch=256", "replay.shards=64", "actors.copies=64"]
    assert poll_interval_scale(load_config(TINY, words)) * COORDINATOR_CALLS == pytest.approx(
        3 * 64 + 7 + 256 * (7 + 64)
    )


def test_gato_actors_count():
    few, many = (
        poll_interval_scale(load_config(TINY, ["actors.copies=5000", f"relabel.actors={count}"])) for count in (0, 2000)
    )
    assert (many - few) * COORDINATOR_CALLS == pytest.approx(7 * 2000)
