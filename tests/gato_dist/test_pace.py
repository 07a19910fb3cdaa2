"""How much less often a run's processes speak to its board where there are many of them."""

import pytest

from gato_dist.config import load_config
from gato_dist.pace import BOARD_CALLS, board_stretch

TINY = "configs/cluster/tiny.yaml"  # one task, two replay servers, one learner worker, one evaluator


def test_a_run_of_one_machine_speaks_once_a_second():
    assert board_stretch(load_config(TINY)) == 1.0


def test_the_calls_of_ten_thousand_experts_come_to_what_the_board_answers():
    stretch = board_stretch(load_config(TINY, ["actors.copies=10000"]))
    # Three calls an expert, five of the evaluator, five and one for each server of the learner's worker.
    assert stretch * BOARD_CALLS == pytest.approx(30_000 + 5 + 5 + 2)


def test_learner_workers_count_with_every_server_that_they_read():
    words = ["learner.workers=256", "learner.batch=256", "replay.shards=64", "actors.copies=64"]
    assert board_stretch(load_config(TINY, words)) * BOARD_CALLS == pytest.approx(3 * 64 + 5 + 256 * (5 + 64))


def test_gato_actors_count():
    few, many = (
        board_stretch(load_config(TINY, ["actors.copies=5000", f"relabel.actors={count}"])) for count in (0, 2000)
    )
    assert (many - few) * BOARD_CALLS == pytest.approx(5 * 2000)


def test_nobody_counts_as_hanging_between_two_reports():
    assert board_stretch(load_config(TINY, ["actors.copies=10000", "actors.hang_seconds=20"])) == 5.0
