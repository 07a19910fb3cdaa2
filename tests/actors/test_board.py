"""The board's promises, without Ray."""

import pytest

from actors.board import Board, EvaluationResult


def test_versions_only_grow():
    board = Board(["a"], 0.0)
    board.publish(3, 10, "weights")
    for version in (3, 2):
        with pytest.raises(ValueError, match="does not follow 3"):
            board.publish(version, 11, "older")
    assert (board.newest().version, board.newest().reference) == (3, "weights")


def test_a_round_scores_every_task_of_one_version():
    board = Board(["a", "b"], 0.0)
    assert board.next_job() is None
    board.publish(1, 0, "one")
    first = board.next_job()
    board.publish(2, 5, "two")
    second = board.next_job()
    assert [(job.task, job.weights.version) for job in (first, second)] == [("a", 1), ("b", 1)]
    assert board.next_job().weights.version == 2


def test_a_version_is_scored_once_and_rounds_keep_their_distance():
    board = Board(["a"], 3600.0)
    board.publish(1, 0, "one")
    assert board.next_job() is not None
    board.publish(2, 5, "two")
    assert board.next_job() is None


def test_the_final_round_drops_what_was_queued_and_comes_once():
    board = Board(["a", "b"], 0.0)
    board.publish(1, 0, "one")
    board.next_job()
    board.publish(2, 5, "two")
    assert board.evaluate_finally() == 2
    jobs = [board.next_job(), board.next_job()]
    assert [(job.task, job.weights.version, job.final) for job in jobs] == [("a", 2, True), ("b", 2, True)]
    assert board.next_job() is None


def test_results_are_taken_once():
    board = Board(["a"], 0.0)
    result = EvaluationResult("a", 1, 0, (1.0,), 5, 0.1, False)
    board.post_result(result)
    assert board.take_results() == [result]
    assert board.take_results() == []


def test_no_two_actors_get_the_same_seed_block():
    board = Board(["a"], 0.0, first_block=40)
    assert [board.claim_block() for _ in range(3)] == [40, 41, 42]
