"""How often a process reports to the coordinator and asks it, without Ray."""

from types import SimpleNamespace

import numpy as np
import pytest

import actors.coordination.link
from actors.coordination.link import CoordinatorLink, RayWeightsFeed, ReplayAddress, Reporter, StopSignal
from actors.coordination.weights import PublishedWeights
from actors.rollout import episodes
from actors.watched import Watched
from gato_dist.episode import Provenance
from gato_dist.sources import Guidance
from gato_dist.telemetry import ExpertReport, MixtureReport
from tests.support.fakes import COUNTED, CountingEnv, EchoPolicy


class Method(list):
    """A remote method of the coordinator, which keeps its calls and answers with `answer`."""

    answer = None

    def remote(self, *arguments):
        self.append(arguments)
        return self.answer


@pytest.fixture
def coordinator() -> SimpleNamespace:
    names = (
        "report",
        "heartbeat",
        "stopping",
        "replay_address",
        "guidance",
        "newest_weights",
        "record_weights_use",
    )
    return SimpleNamespace(**{name: Method() for name in names})


@pytest.fixture
def answers(monkeypatch) -> None:
    """Every question is answered at once."""
    ray = SimpleNamespace(wait=lambda asked, timeout: (asked, []), get=lambda answer: answer)
    monkeypatch.setattr(actors.coordination.link, "ray", ray)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(actors.coordination.link.time, "monotonic", lambda: now[0])
    return now


def expert_report(env_steps: int) -> ExpertReport:
    return ExpertReport(task="a", number=0, env_steps=env_steps)


def test_heartbeats_begin_at_once_and_come_once_a_second(coordinator, clock):
    reporter = Reporter(CoordinatorLink(coordinator), "expert of a")
    for _ in range(30):
        reporter.alive()
        clock[0] += 0.1
    assert coordinator.heartbeat == [("expert of a",)] * 3
    assert coordinator.report == []


def test_the_interval_scale_makes_reports_less_frequent(coordinator, clock):
    reporter = Reporter(CoordinatorLink(coordinator, 12.0), "expert of a")
    for _ in range(30):
        reporter(expert_report(1))
        reporter.alive()
        clock[0] += 1.0
    assert len(coordinator.report) == 3
    assert coordinator.heartbeat == [("expert of a",)]


@pytest.mark.parametrize(("scale", "times"), [(1.0, 20), (12.0, 3)])
def test_the_interval_scale_makes_questions_less_frequent(coordinator, clock, answers, scale, times):
    link = CoordinatorLink(coordinator, scale)
    stop = StopSignal(link, Reporter(link, "expert of a"))
    address = ReplayAddress(link, 2)
    for _ in range(60):
        stop()
        address()
        clock[0] += 0.5
    assert len(coordinator.stopping) == times
    # The first answer was waited for.
    assert coordinator.replay_address == [(2,)] * (times + 1)


def test_a_report_is_a_heartbeat_and_is_not_delayed_by_heartbeats(coordinator, clock):
    reporter = Reporter(CoordinatorLink(coordinator), "expert of a")
    reporter(expert_report(1))
    assert coordinator.report == [(expert_report(1), "expert of a")]
    for _ in range(4):
        # Like an expert that waits for room in replay, and seldom has something new to report.
        clock[0] += 1.5
        reporter.alive()
        clock[0] += 0.1
        reporter(expert_report(2))
    assert len(coordinator.report) == 5
    clock[0] += 0.5
    reporter.alive()
    assert len(coordinator.heartbeat) == 5


def test_a_sent_report_does_not_change_with_the_callers_counters(coordinator, clock):
    counters = expert_report(1)
    Reporter(CoordinatorLink(coordinator))(counters)
    counters.env_steps = 9
    assert coordinator.report[0][0].env_steps == 1


def test_a_process_that_is_not_watched_sends_no_heartbeats(coordinator, clock):
    reporter = Reporter(CoordinatorLink(coordinator))
    reporter.alive()
    mixture = MixtureReport(rank=0, counts={})
    reporter(mixture)
    assert (coordinator.heartbeat, coordinator.report) == ([], [(mixture, None)])


def test_a_weights_feed_asks_once_per_interval_and_records_the_use(coordinator, clock, answers):
    newest = PublishedWeights(version=3, step=1, reference={"w": np.zeros(1)}, published=0.0)
    coordinator.guidance.answer, coordinator.newest_weights.answer = Guidance(0.5, 3), newest
    feed, loaded = RayWeightsFeed(CoordinatorLink(coordinator, 2.0)), []
    for _ in range(4):
        assert feed.latest() == (Guidance(0.5, 3), newest)
        clock[0] += 0.4
    assert len(coordinator.guidance) == 2
    feed.load(newest, loaded.append)
    assert loaded == [newest.reference]
    assert len(coordinator.record_weights_use) == 1


def test_watched_environments_call_back_after_every_reset_and_step():
    calls = []
    env = Watched(CountingEnv(COUNTED, [3, 5]), lambda: calls.append(1))
    played = list(episodes(env, EchoPolicy(), Provenance(COUNTED.name, 0, "echo", ""), once=True))
    assert sorted(len(episode) for episode in played) == [3, 5]
    assert len(calls) == 6
