"""When the supervisor restarts a replay server that no longer answers."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError

from gato_dist.config.run_config import load_config
from gato_dist.records.run_folder import RunFolder
from gato_dist.supervisor import replay_servers
from gato_dist.supervisor.replay_servers import BUSY_SECONDS, HANG_SECONDS, ReplayServers, cluster_networks
from gato_dist.telemetry import TableReport
from gato_dist.training.tokenizer import make_tokenizer


class Answer:
    """What a call to an actor returns. A test sets `value`; an exception is raised."""

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
        if isinstance(reference.value, Exception):
            raise reference.value
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
    tokenizer = make_tokenizer(config)
    made = ReplayServers(config, tokenizer, RunFolder(tmp_path))
    began, first = ray.actors[0].began.asked[0], ray.actors[0].metrics.asked[0]
    began.value, first.value = ("127.0.0.1:1", "", {}), {"a": TableReport(size=1, inserted=1, sampled=1)}
    made.check(lambda line: None)
    clock[0] += 1.0
    made.check(lambda line: None)
    return made


@pytest.fixture
def restarted(ray, clock, servers) -> Callable[[float], list[str]]:
    """Returns the log's lines after so many seconds of silence; checks that the server was not restarted earlier."""

    def after(seconds: float) -> list[str]:
        lines: list[str] = []
        for until in (clock[0] + seconds - 1, clock[0] + seconds + 1):
            assert (len(ray.actors), lines) == (1, [])
            clock[0] = until
            servers.check(lines.append)
        assert len(ray.actors) == 2
        return lines

    return after


def test_a_silent_server_is_restarted_after_a_minute(restarted):
    assert restarted(HANG_SECONDS) == ["replay server 0 did not answer for 60 s; starting it again (1 of 5)"]


def test_a_server_that_was_just_restarted_is_also_given_a_minute(ray, clock, servers):
    lines: list[str] = []
    clock[0] += HANG_SECONDS + 1
    servers.check(lines.append)
    ray.actors[1].began.asked[0].value = ("127.0.0.1:2", "", {})
    ray.actors[1].metrics.asked[0].value = {"a": TableReport(size=0, inserted=0, sampled=0)}
    clock[0] += 1
    servers.check(lines.append)
    clock[0] += HANG_SECONDS + 1
    servers.check(lines.append)
    assert lines == [
        "replay server 0 did not answer for 60 s; starting it again (1 of 5)",
        "replay server 0 listens at 127.0.0.1:2, empty, replay refills",
        "replay server 0 did not answer for 60 s; starting it again (2 of 5)",
    ]


def test_a_starting_server_is_given_half_an_hour(ray, clock, servers):
    lines: list[str] = []
    clock[0] += HANG_SECONDS + 1
    servers.check(lines.append)
    clock[0] += BUSY_SECONDS - 1
    servers.check(lines.append)
    assert len(ray.actors) == 2
    clock[0] += 2
    servers.check(lines.append)
    assert len(ray.actors) == 3


def test_a_silent_server_that_writes_a_checkpoint_is_given_half_an_hour(restarted, servers):
    servers.save(7)
    assert restarted(BUSY_SECONDS) == [
        "replay server 0 did not answer for 1800 s; starting it again (1 of 5)",
        "replay: server 0 has no checkpoint of step 7",
    ]
    assert not servers.saving


def test_a_server_that_never_ends_its_checkpoint_is_restarted_although_it_answers(ray, clock, servers):
    lines: list[str] = []
    servers.save(7)
    for _ in range(2):
        clock[0] += BUSY_SECONDS - 1
        ray.actors[0].metrics.asked[-1].value = {"a": TableReport(size=1, inserted=1, sampled=1)}
        servers.check(lines.append)
    assert lines == [
        "replay server 0 wrote at a checkpoint for 1800 s; starting it again (1 of 5)",
        "replay: server 0 has no checkpoint of step 7",
    ]


def test_after_its_checkpoint_a_server_is_given_a_minute_again(ray, restarted, servers):
    servers.save(7)
    ray.actors[0].save.asked[0].value = {"a": {0: 5}}
    assert servers.check(lambda line: None)[0].covered == {"a": {0: 5}}
    assert restarted(HANG_SECONDS) == ["replay server 0 did not answer for 60 s; starting it again (1 of 5)"]


def test_a_server_that_does_not_start_again_is_restarted_with_the_reason(ray, clock, servers):
    lines: list[str] = []
    clock[0] += HANG_SECONDS + 1
    servers.check(lines.append)
    error = RayTaskError("began", "Traceback\nRuntimeError: no socket", RuntimeError("no socket"))
    ray.actors[1].began.asked[0].value = ray.actors[1].metrics.asked[0].value = error
    servers.check(lines.append)
    assert lines[1:] == ["replay server 0 did not start (RuntimeError: no socket); starting it again (2 of 5)"]
    assert len(ray.actors) == 3


def test_the_servers_of_a_cluster_admit_at_least_one_network():
    """Without any, a server would refuse its own machine at the address by which the cluster knows it."""
    assert cluster_networks(None, [{"NodeManagerAddress": "10.0.0.2"}, {"NodeManagerAddress": "10.0.0.1"}]) == [
        "10.0.0.1", "10.0.0.2"
    ]  # fmt: skip
    assert cluster_networks(("10.0.0.0/8",), []) == ["10.0.0.0/8"]
    assert cluster_networks((), []) == ["127.0.0.0/8"]
