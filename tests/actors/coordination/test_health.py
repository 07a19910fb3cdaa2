"""Reports, heartbeats and deaths of processes."""

import pytest

import actors.coordination.health
from actors.coordination.health import Death, ProcessHealth
from gato_dist.telemetry import EvaluatorReport, ExpertReport, UseDelays
from tests.support.fakes import learner_report


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(actors.coordination.health.time, "monotonic", lambda: now[0])
    return now


def test_telemetry_holds_the_newest_report_of_every_process():
    health = ProcessHealth()
    for steps in (1, 2):
        health.report(ExpertReport(task="a/x", number=0, env_steps=steps))
    health.report(EvaluatorReport(name="evaluator 0", ready=1.0))
    delays = UseDelays(p50=1.0, p99=2.0)
    telemetry = health.telemetry(delays)
    assert [expert.env_steps for expert in telemetry.experts] == [2]
    assert [evaluator.name for evaluator in telemetry.evaluators] == ["evaluator 0"]
    assert (telemetry.learner, telemetry.gato_actors, telemetry.use_delays) == (None, [], delays)


def test_progress_is_the_learners():
    health = ProcessHealth()
    assert health.progress == 0.0
    health.report(learner_report(progress=0.25))
    assert health.progress == 0.25


def test_a_worker_is_silent_since_its_last_report_or_heartbeat(clock):
    health = ProcessHealth()
    health.report(ExpertReport(task="a", number=0), "expert of a")
    health.report(learner_report())
    health.heartbeat("evaluator 0")
    clock[0] += 5.0
    health.heartbeat("evaluator 0")
    assert health.seconds_silent() == {"expert of a": 5.0, "evaluator 0": 0.0}


def test_a_restarted_worker_is_not_silent_before_its_first_heartbeat(clock):
    health = ProcessHealth()
    health.heartbeat("expert of a")
    health.forget_heartbeat("expert of a")
    health.forget_heartbeat("unknown")
    assert health.seconds_silent() == {}


def test_deaths_are_taken_once():
    health = ProcessHealth()
    health.report_death(Death("learner", "learner worker died"))
    assert health.take_deaths() == [Death("learner", "learner worker died")]
    assert health.take_deaths() == []
