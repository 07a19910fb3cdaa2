"""Which jobs evaluators get, in which order, and which weights are kept for them."""

import math

import pytest

import actors.coordination.evaluation
from actors.coordination.evaluation import EvaluationJob, EvaluationQueue, EvaluationResult
from actors.coordination.weights import PublishedWeights
from gato_dist.config.process_sections import EvaluationConfig


def weights(version: int) -> PublishedWeights:
    return PublishedWeights(version=version, step=version, reference=f"weights {version}", published=0.0)


def queue(tasks: list[str], **settings) -> EvaluationQueue:
    return EvaluationQueue(tasks, EvaluationConfig(**({"every_seconds": 0.0} | settings)))


def result_of(job: EvaluationJob) -> EvaluationResult:
    return EvaluationResult(
        task=job.task,
        version=job.weights.version,
        step=job.weights.step,
        returns=(1.0,),
        successes=(None,),
        seconds=0.1,
        final=job.final,
    )


def score(jobs: EvaluationQueue, evaluator: str, newest: PublishedWeights | None) -> EvaluationJob:
    """Takes a job and posts its result."""
    job = jobs.next_job(evaluator, newest)
    assert job is not None
    jobs.post_result(evaluator, result_of(job))
    return job


def score_round(jobs: EvaluationQueue, version: int) -> list[str]:
    """Scores one version until there is no job; returns the tasks in order."""
    tasks = []
    while (job := jobs.next_job("one", weights(version))) is not None:
        jobs.post_result("one", result_of(job))
        tasks.append(job.task)
    return tasks


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """A clock that only the test moves."""
    now = [1000.0]
    monkeypatch.setattr(actors.coordination.evaluation.time, "monotonic", lambda: now[0])
    return now


def test_there_is_no_job_before_the_first_weights():
    assert queue(["a"]).next_job("one", None) is None


def test_a_round_scores_one_version_on_every_task():
    jobs = queue(["a", "b"])
    first = score(jobs, "one", weights(1))
    second = score(jobs, "one", weights(2))
    assert [(job.task, job.weights.version) for job in (first, second)] == [("a", 1), ("b", 1)]
    assert jobs.next_job("one", weights(2)).weights.version == 2


def test_rounds_are_every_seconds_apart(clock):
    jobs = queue(["a"], every_seconds=60.0)
    assert score(jobs, "one", weights(1)).weights.version == 1
    clock[0] += 59.0
    assert jobs.next_job("one", weights(2)) is None
    clock[0] += 1.0
    assert jobs.next_job("one", weights(2)).weights.version == 2


def test_a_version_is_scored_once():
    jobs = queue(["a"])
    score(jobs, "one", weights(1))
    assert jobs.next_job("one", weights(1)) is None


def test_the_final_round_replaces_all_jobs_and_is_the_last():
    jobs = queue(["a", "b"])
    late = jobs.next_job("one", weights(1))
    assert jobs.start_final_round(weights(2)) == 2
    jobs.post_result("one", result_of(late))
    found = [score(jobs, evaluator, weights(2)) for evaluator in ("one", "two")]
    assert [(job.task, job.weights.version, job.final) for job in found] == [("a", 2, True), ("b", 2, True)]
    assert jobs.next_job("one", weights(3)) is None


def test_a_final_round_without_weights_has_no_version():
    assert queue(["a"]).start_final_round(None) == -1


def test_a_restarted_evaluator_gets_its_job_again():
    """Otherwise the final round would never end."""
    jobs = queue(["a", "b"])
    jobs.start_final_round(weights(1))
    lost = jobs.next_job("one", weights(1))
    assert score(jobs, "two", weights(1)).task == "b"
    assert jobs.next_job("two", weights(1)) is None
    assert jobs.next_job("one", weights(1)) == lost
    jobs.post_result("one", result_of(lost))
    assert jobs.next_job("one", weights(1)) is None


def test_results_are_taken_once():
    jobs = queue(["a"])
    job = score(jobs, "one", weights(1))
    assert jobs.take_results() == [result_of(job)]
    assert jobs.take_results() == []


@pytest.mark.parametrize(("tasks", "share"), [(5, 0.4), (3, 0.5), (30, 0.1), (4, 1.0), (7, 0.01)])
def test_a_share_of_tasks_takes_turns_so_that_every_task_is_scored_in_each_turn(clock, tasks, share):
    names = [f"task {i}" for i in range(tasks)]
    jobs, last, per_round = queue(names, task_fraction=share), dict.fromkeys(names, 0), math.ceil(share * tasks - 1e-9)
    for version in range(1, 40):
        clock[0] += 10
        scored = score_round(jobs, version)
        assert len(scored) == per_round
        last |= dict.fromkeys(scored, version)
        assert version - min(last.values()) <= math.ceil(tasks / per_round)


def test_no_score_gets_older_than_stale_seconds(clock):
    jobs = queue(["a", "b", "c", "d"], every_seconds=10.0, task_fraction=0.25, stale_seconds=20.0)
    scored = dict.fromkeys("abcd", clock[0])
    for version in range(1, 20):
        scored |= dict.fromkeys(score_round(jobs, version), clock[0])
        clock[0] += 10
        assert version == 1 or clock[0] - min(scored.values()) <= 20.0


def test_the_final_round_scores_all_tasks_even_if_only_a_share_takes_turns(clock):
    jobs = queue(["a", "b", "c"], task_fraction=0.3)
    score_round(jobs, 1)
    jobs.start_final_round(weights(2))
    assert [score(jobs, "one", weights(2)).task for _ in range(3)] == ["a", "b", "c"]


def test_weights_are_kept_until_their_results_were_taken_and_dealt_with():
    jobs = queue(["a", "b"])
    score(jobs, "one", weights(1))
    second = jobs.next_job("one", weights(2))
    assert [result.version for result in jobs.take_results()] == [1]
    assert jobs.scored_weights(1) == weights(1)
    jobs.post_result("one", result_of(second))
    jobs.take_results()
    assert jobs.scored_weights(1) == weights(1)
    jobs.take_results()
    assert jobs.scored_weights(1) is None


def test_videos_are_video_seconds_apart_and_the_final_round_is_always_filmed(clock):
    jobs = queue(["a"], video_seconds=100)
    filmed = []
    for version in range(1, 25):
        clock[0] += 10
        filmed += [version] * score(jobs, "one", weights(version)).film
    assert filmed == [10, 20]
    jobs.start_final_round(weights(24))
    assert jobs.next_job("one", weights(24)).film


def test_nothing_is_filmed_without_video_seconds():
    jobs = queue(["a"])
    jobs.start_final_round(weights(1))
    assert not jobs.next_job("one", weights(1)).film


def test_a_job_that_an_evaluator_gave_up_comes_after_the_others():
    jobs = queue(["a", "b"])
    assert jobs.next_job("one", weights(1)).task == "a"
    assert jobs.give_up_job("one") == "a"
    assert [score(jobs, "one", weights(1)).task for _ in range(2)] == ["b", "a"]
    assert jobs.give_up_job("one") is None


def test_an_excluded_task_is_not_scored_again():
    jobs = queue(["a", "b", "c"])
    assert jobs.next_job("one", weights(1)).task == "a"
    jobs.exclude_task("a")
    jobs.exclude_task("c")
    assert jobs.give_up_job("one") == "a"
    assert score(jobs, "one", weights(1)).task == "b"
    assert jobs.next_job("one", weights(1)) is None
    jobs.start_final_round(weights(1))
    assert score(jobs, "one", weights(1)).task == "b"
    assert jobs.next_job("one", weights(1)) is None
