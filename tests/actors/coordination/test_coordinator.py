"""The coordinator connects its parts, without Ray."""

import pytest

from actors.coordination.coordinator import Coordinator
from gato_dist.config.sections import EvaluationConfig
from gato_dist.sources import Guidance
from gato_dist.telemetry import UseDelays
from tests.support.fakes import learner_report


@pytest.fixture
def coordinator() -> Coordinator:
    return Coordinator(["a"], EvaluationConfig(every_seconds=0.0))


def test_evaluators_get_the_newest_published_weights(coordinator):
    assert coordinator.next_job("one") is None
    coordinator.publish(1, 10, "weights", 0.0)
    job = coordinator.next_job("one")
    assert (job.task, job.weights.version, job.weights.reference) == ("a", 1, "weights")
    coordinator.publish(2, 20, "newer", 0.0)
    assert coordinator.start_final_evaluation() == 2
    assert coordinator.next_job("one").weights == coordinator.scored_weights(2) == coordinator.newest_weights()


def test_guidance_has_the_learners_progress_and_the_newest_version(coordinator):
    coordinator.publish(4, 10, "weights", 0.0)
    coordinator.report(learner_report(progress=0.25))
    coordinator.set_mixture_factors((2.0,))
    coordinator.set_failed_tasks(frozenset({0}))
    assert coordinator.guidance() == Guidance(0.25, 4, (2.0,), frozenset({0}))


def test_telemetry_includes_the_delays_of_weights(coordinator):
    coordinator.record_weights_use(2.0)
    assert coordinator.telemetry().use_delays == UseDelays(p50=2.0, p99=2.0)


def test_messages_are_taken_once(coordinator):
    coordinator.post_message("a checkpoint failed")
    assert coordinator.take_messages() == ["a checkpoint failed"]
    assert coordinator.take_messages() == []


def test_stopping_the_run_ends_learning(coordinator):
    coordinator.stop()
    assert (coordinator.stopping(), coordinator.learning_ends(), coordinator.learner_done()) == (True, True, False)
