"""What an actor tells the coordinator of itself, and when."""

from types import SimpleNamespace

import numpy as np
import pytest

import actors.ray_actors
from actors.ray_actors import ReplayAddress, Reporter, Stop
from actors.rollout import episodes
from actors.watched import Watched
from gato_dist.episode import Provenance
from tests.support.fakes import COUNTED, CountingEnv, EchoPolicy


class Told(list):
    """A coordinator's method as an actor calls it."""

    def remote(self, *arguments) -> None:
        self.append(arguments)


@pytest.fixture
def coordinator() -> SimpleNamespace:
    return SimpleNamespace(report=Told(), beat=Told(), stopping=Told(), replay_place=Told())


@pytest.fixture
def answers(monkeypatch) -> None:
    """Every question is answered at once, with None."""
    ray = SimpleNamespace(wait=lambda asked, timeout: (asked, []), get=lambda asked: None)
    monkeypatch.setattr(actors.ray_actors, "ray", ray)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(actors.ray_actors.time, "monotonic", lambda: now[0])
    return now


def test_an_actor_is_heard_of_as_it_begins_and_then_once_a_second(coordinator, clock):
    reporter = Reporter(coordinator, "expert/a/0", "expert of a")
    for _ in range(30):
        reporter.alive()
        clock[0] += 0.1
    assert coordinator.beat == [("expert of a",)] * 3
    assert coordinator.report == []


def test_an_actor_of_very_many_is_heard_of_as_much_less_often_as_it_is_told(coordinator, clock):
    reporter = Reporter(coordinator, "expert/a/0", "expert of a", poll_scale=12.0)
    for _ in range(30):
        reporter({"env_steps": 1.0})
        reporter.alive()
        clock[0] += 1.0
    assert len(coordinator.report) == 3
    assert coordinator.beat == [("expert of a",)]  # as it begins


@pytest.mark.parametrize(("poll_scale", "times"), [(1.0, 20), (12.0, 3)])
def test_one_of_many_asks_as_much_less_often_too(coordinator, clock, answers, poll_scale, times):
    stop = Stop(coordinator, Reporter(coordinator, "expert/a/0", "expert of a", poll_scale))
    place = ReplayAddress(coordinator, 2, poll_scale)
    for _ in range(60):
        stop()
        place()
        clock[0] += 0.5
    assert len(coordinator.stopping) == times
    assert coordinator.replay_place == [(2,)] * (times + 1)  # once more at first, which is waited for


def test_figures_do_not_wait_for_signs_of_life_and_are_one(coordinator, clock):
    reporter = Reporter(coordinator, "expert/a/0", "expert of a")
    reporter({"env_steps": 1.0})
    assert coordinator.report == [("expert/a/0", {"env_steps": 1.0}, "expert of a")]
    for _ in range(4):
        # As an expert that waits for room: most of its time is spent where there is nothing new to tell.
        clock[0] += 1.5
        reporter.alive()
        clock[0] += 0.1
        reporter({"env_steps": 2.0})
    assert len(coordinator.report) == 5
    clock[0] += 0.5
    reporter.alive()
    assert len(coordinator.beat) == 5


def test_a_process_that_nobody_watches_tells_figures_alone(coordinator, clock):
    reporter = Reporter(coordinator, "mixture/0")
    reporter.alive()
    reporter({"rows": 1.0})
    assert (coordinator.beat, coordinator.report) == ([], [("mixture/0", {"rows": 1.0}, None)])


def test_a_watched_environment_tells_of_every_reset_and_step():
    told = []
    env = Watched(CountingEnv(COUNTED, [3, 5]), lambda: told.append(1))
    played = list(
        episodes(env, EchoPolicy(), Provenance(task=COUNTED.name, seed=0, policy="echo", policy_hash=""), once=True)
    )
    assert sorted(len(episode) for episode in played) == [3, 5]
    assert np.sum(told) == 6
