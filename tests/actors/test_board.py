"""The board's promises, without Ray."""

import pytest

from actors.board import Board, EvaluationJob, EvaluationResult
from gato_dist.sources import Guidance


def result_of(job: EvaluationJob) -> EvaluationResult:
    return EvaluationResult(job.task, job.weights.version, job.weights.step, (1.0,), (None,), 0.1, job.final)


def score(board: Board, evaluator: str) -> EvaluationJob:
    """Takes a job and posts its result."""
    job = board.next_job(evaluator)
    board.post_result(evaluator, result_of(job))
    return job


def test_versions_only_grow():
    board = Board(["a"], 0.0)
    board.publish(3, 10, "weights")
    for version in (3, 2):
        with pytest.raises(ValueError, match="does not follow 3"):
            board.publish(version, 11, "older")
    assert (board.newest().version, board.newest().reference) == (3, "weights")


def test_a_round_scores_every_task_of_one_version():
    board = Board(["a", "b"], 0.0)
    assert board.next_job("one") is None
    board.publish(1, 0, "one")
    first = score(board, "one")
    board.publish(2, 5, "two")
    second = score(board, "one")
    assert [(job.task, job.weights.version) for job in (first, second)] == [("a", 1), ("b", 1)]
    assert board.next_job("one").weights.version == 2


def test_a_version_is_scored_once_and_rounds_keep_their_distance():
    board = Board(["a"], 3600.0)
    board.publish(1, 0, "one")
    assert score(board, "one").weights.version == 1
    board.publish(2, 5, "two")
    assert board.next_job("one") is None


def test_the_final_round_drops_what_was_queued_and_comes_once():
    board = Board(["a", "b"], 0.0)
    board.publish(1, 0, "one")
    late = board.next_job("one")
    board.publish(2, 5, "two")
    assert board.evaluate_finally() == 2
    board.post_result("one", result_of(late))
    jobs = [score(board, "one"), score(board, "two")]
    assert [(job.task, job.weights.version, job.final) for job in jobs] == [("a", 2, True), ("b", 2, True)]
    assert board.next_job("one") is None


def test_an_evaluator_that_died_takes_its_job_up_again():
    """Else the last round would wait for ever for the job that died with it."""
    board = Board(["a", "b"], 0.0)
    board.publish(1, 0, "one")
    board.evaluate_finally()
    lost = board.next_job("one")
    assert score(board, "two").task == "b"
    assert board.next_job("two") is None
    assert board.next_job("one") == lost
    board.post_result("one", result_of(lost))
    assert board.next_job("one") is None


def test_results_are_taken_once():
    board = Board(["a"], 0.0)
    board.publish(1, 0, "one")
    result = result_of(board.next_job("one"))
    board.post_result("one", result)
    assert board.take_results() == [result]
    assert board.take_results() == []


def test_no_two_actors_get_the_same_seed_block():
    board = Board(["a"], 0.0, first_block=40)
    assert [board.claim_block() for _ in range(3)] == [40, 41, 42]


def test_guidance_is_the_learners_progress_the_newest_version_and_the_drivers_factors():
    board = Board(["a"], 0.0)
    assert board.guidance() == Guidance(0.0, 0, None)
    board.publish(4, 10, "weights")
    board.report("learner", {"progress": 0.25})
    board.guide((2.0,))
    assert board.guidance() == Guidance(0.25, 4, (2.0,))
