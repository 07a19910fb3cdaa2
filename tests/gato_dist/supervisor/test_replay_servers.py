"""When the driver takes a replay server for dead that only says nothing."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from gato_dist.config.run_config import load_config
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import load_reference
from gato_dist.supervisor import replay_servers
from gato_dist.supervisor.replay_servers import BUSY_SECONDS, HANG_SECONDS, ReplayServers, cluster_networks
from gato_dist.telemetry import TableReport
from gato_dist.training.live import make_tokenizer


class Answer:
    """What a call to an actor returns; `value` is there once somebody has set it."""

    value = None


class Method:
    def __init__(self) -> None:
        self.asked: list[Answer] = []

    def remote(self, *arguments) -> Answer:
        self.asked.append(Answer())
        return self.asked[-1]


class FakeRay:
    """Ray as far as `ReplayServers` needs it, with actors that answer when a test says so."""

    def __init__(self) -> None:
        self.actors: list[SimpleNamespace] = []

    def remote(self, make) -> SimpleNamespace:
        self.actors.append(SimpleNamespace(began=Method(), metrics=Method(), save=Method(), admit=Method()))
        return self.actors[-1]

    def options(self, **reserved) -> "FakeRay":
        return self

    def wait(self, references, num_returns=1, timeout=0):
        ready = [each for each in references if each.value is not None]
        return ready, [each for each in references if each.value is None]

    def get(self, reference):
        return reference.value

    def kill(self, actor) -> None: ...


@pytest.fixture
def ray(monkeypatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(replay_servers, "ray", fake)
    monkeypatch.setattr(replay_servers, "ReplayActor", fake)
    return fake


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(replay_servers.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def servers(ray, clock, tmp_path) -> ReplayServers:
    """One server that has started and answered once."""
    config = load_config("configs/quickstart.yaml")
    tokenizer = make_tokenizer(config, {task.name: load_reference(task.name) for task in config.tasks})
    made = ReplayServers(config, tokenizer, RunFolder(tmp_path))
    began, first = ray.actors[0].began.asked[0], ray.actors[0].metrics.asked[0]
    began.value, first.value = ("127.0.0.1:1", "", {}), {"a": TableReport(size=1, inserted=1, sampled=1)}
    made.check(lambda line: None)
    clock[0] += 1.0
    made.check(lambda line: None)
    return made


@pytest.fixture
def replaced(ray, clock, servers) -> Callable[[float], list[str]]:
    """What the driver says of one that is silent: nothing just before so many seconds, and just after."""

    def after(seconds: float) -> list[str]:
        said: list[str] = []
        for until in (clock[0] + seconds - 1, clock[0] + seconds + 1):
            assert (len(ray.actors), said) == (1, [])
            clock[0] = until
            servers.check(said.append)
        assert len(ray.actors) == 2
        return said

    return after


def test_one_that_says_nothing_for_a_minute_is_replaced(replaced):
    assert replaced(HANG_SECONDS) == ["replay server 0 did not answer for 60 s; starting it again (1 of 5)"]


def test_one_that_has_just_come_back_is_given_no_more_than_a_minute_either(ray, clock, servers):
    said: list[str] = []
    clock[0] += HANG_SECONDS + 1
    servers.check(said.append)
    ray.actors[1].began.asked[0].value = ("127.0.0.1:2", "", {})
    ray.actors[1].metrics.asked[0].value = {"a": TableReport(size=0, inserted=0, sampled=0)}
    clock[0] += 1
    servers.check(said.append)
    clock[0] += HANG_SECONDS + 1
    servers.check(said.append)
    assert said == [
        "replay server 0 did not answer for 60 s; starting it again (1 of 5)",
        "replay server 0 listens at 127.0.0.1:2, empty, replay refills",
        "replay server 0 did not answer for 60 s; starting it again (2 of 5)",
    ]


def test_one_that_starts_is_given_half_an_hour(ray, clock, servers):
    said: list[str] = []
    clock[0] += HANG_SECONDS + 1
    servers.check(said.append)
    clock[0] += BUSY_SECONDS - 1
    servers.check(said.append)
    assert len(ray.actors) == 2
    clock[0] += 2
    servers.check(said.append)
    assert len(ray.actors) == 3


def test_one_that_writes_a_checkpoint_is_given_half_an_hour_and_no_more(replaced, servers):
    servers.save(7)
    assert replaced(BUSY_SECONDS) == [
        "replay server 0 did not answer for 1800 s; starting it again (1 of 5)",
        "replay: server 0 has no checkpoint of step 7",
    ]
    assert not servers.saving


def test_one_that_answers_and_never_ends_its_checkpoint_is_replaced_too(ray, clock, servers):
    said: list[str] = []
    servers.save(7)
    for _ in range(2):
        clock[0] += BUSY_SECONDS - 1
        ray.actors[0].metrics.asked[-1].value = {"a": TableReport(size=1, inserted=1, sampled=1)}
        servers.check(said.append)
    assert said == [
        "replay server 0 wrote at a checkpoint for 1800 s; starting it again (1 of 5)",
        "replay: server 0 has no checkpoint of step 7",
    ]


def test_one_that_has_written_its_checkpoint_is_given_a_minute_again(ray, replaced, servers):
    servers.save(7)
    ray.actors[0].save.asked[0].value = {"a": {0: 5}}
    assert servers.check(lambda line: None)[0].covered == {"a": {0: 5}}
    assert replaced(HANG_SECONDS) == ["replay server 0 did not answer for 60 s; starting it again (1 of 5)"]


def test_a_server_of_a_cluster_never_admits_loopback_alone():
    """Bound to the loopback device, it would refuse its own machine at the address that the cluster knows."""
    assert cluster_networks(None, [{"NodeManagerAddress": "10.0.0.2"}, {"NodeManagerAddress": "10.0.0.1"}]) == [
        "10.0.0.1", "10.0.0.2"
    ]  # fmt: skip
    assert cluster_networks(("10.0.0.0/8",), []) == ["10.0.0.0/8"]
    assert cluster_networks((), []) == ["127.0.0.0/8"]
