"""The coordinator's promises, without Ray."""

import math

import pytest

import actors.coordinator
from actors.coordinator import Coordinator, EvaluationJob, EvaluationResult
from gato_dist.config.process_sections import EvaluationConfig
from gato_dist.sources import Guidance


def often(**keys) -> EvaluationConfig:
    return EvaluationConfig(every_seconds=0.0, **keys)


def result_of(job: EvaluationJob) -> EvaluationResult:
    return EvaluationResult(job.task, job.weights.version, job.weights.step, (1.0,), (None,), 0.1, job.final)


def score(coordinator: Coordinator, evaluator: str) -> EvaluationJob:
    """Takes a job and posts its result."""
    job = coordinator.next_job(evaluator)
    coordinator.post_result(evaluator, result_of(job))
    return job


def test_versions_only_grow():
    coordinator = Coordinator(["a"], often())
    coordinator.publish(3, 10, "weights", 0.0)
    for version in (3, 2):
        with pytest.raises(ValueError, match="does not follow 3"):
            coordinator.publish(version, 11, "older", 0.0)
    assert (coordinator.newest().version, coordinator.newest().reference) == (3, "weights")


def test_a_round_scores_every_task_of_one_version():
    coordinator = Coordinator(["a", "b"], often())
    assert coordinator.next_job("one") is None
    coordinator.publish(1, 0, "one", 0.0)
    first = score(coordinator, "one")
    coordinator.publish(2, 5, "two", 0.0)
    second = score(coordinator, "one")
    assert [(job.task, job.weights.version) for job in (first, second)] == [("a", 1), ("b", 1)]
    assert coordinator.next_job("one").weights.version == 2


def test_a_version_is_scored_once_and_rounds_keep_their_distance():
    coordinator = Coordinator(["a"], EvaluationConfig(every_seconds=3600.0))
    coordinator.publish(1, 0, "one", 0.0)
    assert score(coordinator, "one").weights.version == 1
    coordinator.publish(2, 5, "two", 0.0)
    assert coordinator.next_job("one") is None


def test_the_final_round_drops_what_was_queued_and_comes_once():
    coordinator = Coordinator(["a", "b"], often())
    coordinator.publish(1, 0, "one", 0.0)
    late = coordinator.next_job("one")
    coordinator.publish(2, 5, "two", 0.0)
    assert coordinator.evaluate_finally() == 2
    coordinator.post_result("one", result_of(late))
    jobs = [score(coordinator, "one"), score(coordinator, "two")]
    assert [(job.task, job.weights.version, job.final) for job in jobs] == [("a", 2, True), ("b", 2, True)]
    assert coordinator.next_job("one") is None


def test_an_evaluator_that_died_takes_its_job_up_again():
    """Else the last round would wait for ever for the job that died with it."""
    coordinator = Coordinator(["a", "b"], often())
    coordinator.publish(1, 0, "one", 0.0)
    coordinator.evaluate_finally()
    lost = coordinator.next_job("one")
    assert score(coordinator, "two").task == "b"
    assert coordinator.next_job("two") is None
    assert coordinator.next_job("one") == lost
    coordinator.post_result("one", result_of(lost))
    assert coordinator.next_job("one") is None


def test_results_are_taken_once():
    coordinator = Coordinator(["a"], often())
    coordinator.publish(1, 0, "one", 0.0)
    result = result_of(coordinator.next_job("one"))
    coordinator.post_result("one", result)
    assert coordinator.take_results() == [result]
    assert coordinator.take_results() == []


def test_no_two_actors_get_the_same_seed_block():
    claims = iter([range(40, 42), range(90, 92)])
    coordinator = Coordinator(["a"], often(), claims.__next__)
    assert [coordinator.claim_block() for _ in range(3)] == [40, 41, 90]


def test_guidance_is_the_learners_progress_the_newest_version_and_the_drivers_factors():
    coordinator = Coordinator(["a"], often())
    assert coordinator.guidance() == Guidance(0.0, 0, None)
    coordinator.publish(4, 10, "weights", 0.0)
    coordinator.report("learner", {"progress": 0.25})
    coordinator.guide((2.0,))
    assert coordinator.guidance() == Guidance(0.25, 4, (2.0,))


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [1000.0]
    monkeypatch.setattr(actors.coordinator.time, "monotonic", lambda: now[0])
    return now


def play_round(coordinator: Coordinator, version: int) -> list[str]:
    coordinator.publish(version, version, f"weights {version}", 0.0)
    asked = []
    while (job := coordinator.next_job("one")) is not None:
        coordinator.post_result("one", result_of(job))
        asked.append(job.task)
    return asked


@pytest.mark.parametrize(("tasks", "share"), [(5, 0.4), (3, 0.5), (30, 0.1), (4, 1.0), (7, 0.01)])
def test_a_share_of_the_tasks_takes_turns_and_none_waits_longer_than_a_whole_turn(clock, tasks, share):
    names = [f"task {i}" for i in range(tasks)]
    coordinator, last, per_turn = (
        Coordinator(names, often(task_fraction=share)),
        dict.fromkeys(names, 0),
        math.ceil(share * tasks - 1e-9),
    )
    for version in range(1, 40):
        clock[0] += 10
        asked = play_round(coordinator, version)
        assert len(asked) == per_turn
        last |= dict.fromkeys(asked, version)
        assert version - min(last.values()) <= math.ceil(tasks / per_turn)


def test_no_score_gets_older_than_its_bound_whatever_the_share(clock):
    coordinator = Coordinator(
        ["a", "b", "c", "d"], EvaluationConfig(every_seconds=10.0, task_fraction=0.25, stale_seconds=20.0)
    )
    scored = dict.fromkeys("abcd", clock[0])
    for version in range(1, 20):
        scored |= dict.fromkeys(play_round(coordinator, version), clock[0])
        clock[0] += 10
        assert version == 1 or clock[0] - min(scored.values()) <= 20.0


def test_a_rotating_share_does_not_hold_for_the_final_round(clock):
    coordinator = Coordinator(["a", "b", "c"], often(task_fraction=0.3))
    play_round(coordinator, 1)
    coordinator.publish(2, 2, "last", 0.0)
    coordinator.evaluate_finally()
    assert [score(coordinator, "one").task for _ in range(3)] == ["a", "b", "c"]


def test_weights_can_be_had_while_they_are_scored_and_until_the_results_were_dealt_with():
    coordinator = Coordinator(["a", "b"], often())
    coordinator.publish(1, 0, "one", 0.0)
    score(coordinator, "one")
    second = coordinator.next_job("one")
    coordinator.publish(2, 5, "two", 0.0)
    assert [result.version for result in coordinator.take_results()] == [1]
    assert coordinator.scored(1).reference == "one"
    coordinator.post_result("one", result_of(second))
    coordinator.take_results()
    assert coordinator.scored(1).reference == "one"
    coordinator.take_results()
    assert coordinator.scored(1) is None


def test_videos_keep_their_distance_and_the_last_weights_are_always_filmed(clock):
    coordinator = Coordinator(["a"], often(video_seconds=100))
    filmed = []
    for version in range(1, 25):
        clock[0] += 10
        coordinator.publish(version, version, "weights", 0.0)
        filmed += [version] * score(coordinator, "one").film
    assert filmed == [10, 20]
    coordinator.evaluate_finally()
    assert coordinator.next_job("one").film
    other = Coordinator(["a"], often())
    other.publish(1, 1, "weights", 0.0)
    other.evaluate_finally()
    assert not other.next_job("one").film


def test_learning_can_end_while_the_rest_goes_on():
    coordinator = Coordinator(["a"], often())
    assert not coordinator.learning_ends()
    coordinator.end_learning()
    assert (coordinator.learning_ends(), coordinator.stopping()) == (True, False)


def test_delays_from_publishing_to_use_are_told_as_percentiles():
    coordinator = Coordinator(["a"], often())
    assert "weights" not in coordinator.metrics()
    for delay in range(101):
        coordinator.used(float(delay))
    assert coordinator.metrics()["weights"] == {"use_p50": 50.0, "use_p99": 99.0}


def test_a_task_that_an_evaluator_failed_in_is_tried_again_after_the_others():
    coordinator = Coordinator(["a", "b"], often())
    coordinator.publish(1, 0, "one", 0.0)
    assert coordinator.next_job("one").task == "a"
    assert coordinator.give_up_job("one") == "a"
    assert [score(coordinator, "one").task for _ in range(2)] == ["b", "a"]
    assert coordinator.give_up_job("one") is None


def test_a_task_that_is_left_out_is_scored_no_more():
    coordinator = Coordinator(["a", "b", "c"], often())
    coordinator.publish(1, 0, "one", 0.0)
    assert coordinator.next_job("one").task == "a"
    coordinator.leave_out("a")
    coordinator.leave_out("c")
    assert coordinator.give_up_job("one") == "a"
    assert [score(coordinator, "one").task for _ in range(1)] == ["b"]
    assert coordinator.next_job("one") is None
    assert coordinator.evaluate_finally() == 1
    assert score(coordinator, "one").task == "b"
    assert coordinator.next_job("one") is None


def test_an_actor_is_silent_since_its_last_word_and_not_before_its_first(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(actors.coordinator.time, "monotonic", lambda: now[0])
    coordinator = Coordinator(["a"], often())
    coordinator.report("expert/a/0", {"env_steps": 1.0}, "expert of a")
    coordinator.report("learner", {"step": 1.0})
    coordinator.beat("evaluator 0")
    now[0] += 5.0
    coordinator.beat("evaluator 0")
    assert coordinator.silent() == {"expert of a": 5.0, "evaluator 0": 0.0}
    coordinator.forget("expert of a")
    coordinator.forget("nobody")
    assert coordinator.silent() == {"evaluator 0": 0.0}


def test_who_is_in_trouble_stands_in_the_guidance():
    coordinator = Coordinator(["a"], often())
    coordinator.trouble(frozenset({0}))
    assert coordinator.guidance() == Guidance(troubled=frozenset({0}))


def test_deaths_and_the_newest_step_to_save_are_told_once():
    coordinator = Coordinator(["a"], often())
    coordinator.died("learner", "learner worker died")
    coordinator.save_replay(60)
    coordinator.save_replay(90)
    assert coordinator.take_deaths() == ([("learner", "learner worker died")], 90)
    assert coordinator.take_deaths() == ([], None)
