"""Actors that fail are restarted, and their tasks are quarantined after too many failures; without Ray."""

from types import SimpleNamespace

import pytest

from actors.coordination.link import CoordinatorLink
from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.records.quarantine import Part
from gato_dist.supervisor.actor_pool import ActorPool
from gato_dist.supervisor.errors import RunFailed
from gato_dist.supervisor.quarantine import Quarantine
from gato_dist.utils.restarts import RecentFailures, RecoveryTimer

TASKS = ["babyai/go-to-local", "babyai/open"]


def make_config(**sections) -> RunConfig:
    return parse_config(
        {"name": "t", "tasks": [{"name": name} for name in TASKS], "actors": {"max_failures": 2}} | sections, "t"
    )


class FakeActor:
    """A `SupervisedActor` that fails as a test says."""

    def __init__(self, name: str, part: Part, task: str | None) -> None:
        self.name, self.source, self.part, self.task = name, name, part, task
        self.failures = RecentFailures()
        self.reason: str | None = None
        self.starts, self.killed = 1, False

    def start(self) -> None:
        self.starts += 1

    def failure(self, silent_seconds: float, patience: float) -> str | None:
        return f"hangs: {silent_seconds:.0f} s" if silent_seconds > patience else self.reason

    def kill(self) -> None:
        self.killed = True


class FakeMethod:
    """A remote method of the coordinator: remembers its arguments, and returns `answer`."""

    def __init__(self, answer=None) -> None:
        self.answer, self.calls = answer, []

    def remote(self, *arguments):
        self.calls.append(arguments)
        return self.answer


class FakeFactory:
    def __init__(self, config: RunConfig) -> None:
        self.config = config
        self.made: dict[str, FakeActor] = {}
        self.coordinator = SimpleNamespace(
            seconds_silent=FakeMethod({}),
            forget_heartbeat=FakeMethod(),
            set_failed_tasks=FakeMethod(),
            exclude_task=FakeMethod(),
            give_up_job=FakeMethod(),
        )
        self.link = CoordinatorLink(self.coordinator)

    def _add(self, *arguments) -> FakeActor:
        actor = FakeActor(*arguments)
        self.made[actor.name] = actor
        return actor

    def experts(self, index: int) -> list[FakeActor]:
        return [self._add(f"expert {index}", Part.EXPERTS, TASKS[index])]

    def gato_actors(self, index: int) -> list[FakeActor]:
        return [self._add(f"gato {index}", Part.GATO, TASKS[index])]

    def evaluator(self, number: int) -> FakeActor:
        return self._add(f"evaluator {number}", Part.EVALUATION, None)


@pytest.fixture
def factory() -> FakeFactory:
    return FakeFactory(make_config())


@pytest.fixture
def pool(factory, tmp_path) -> ActorPool:
    return make_pool(factory, tmp_path, [0.0, 0.0])


def make_pool(factory: FakeFactory, folder, disk_shares: list[float]) -> ActorPool:
    quarantine = Quarantine(folder / "quarantine.json", factory.config.actors.max_failures)
    waiter = SimpleNamespace(get=lambda answer: answer)
    return ActorPool(factory, disk_shares, quarantine=quarantine, recoveries=RecoveryTimer(), waiter=waiter)


def test_a_task_that_comes_from_disk_alone_has_no_expert(factory, tmp_path):
    make_pool(factory, tmp_path, [1.0, 0.5])
    assert set(factory.made) == {"expert 1", "gato 0", "gato 1", "evaluator 0"}


def test_a_failed_actor_is_restarted_and_the_coordinator_forgets_its_silence(factory, pool):
    factory.made["expert 0"].reason = "died"
    lines: list[str] = []
    pool.check(lines.append)
    assert lines == ["expert 0 died; starting it again (try 2 of 2)"]
    assert factory.made["expert 0"].starts == 2
    assert factory.coordinator.forget_heartbeat.calls == [("expert 0",)]
    assert factory.coordinator.set_failed_tasks.calls == [(frozenset({0}),)]


def test_a_silent_actor_counts_as_hanging(factory, pool):
    factory.coordinator.seconds_silent.answer = {"expert 1": 1e6}
    lines: list[str] = []
    pool.check(lines.append)
    assert lines == ["expert 1 hangs: 1000000 s; starting it again (try 2 of 2)"]


def test_the_actors_of_a_quarantined_task_are_ended_and_the_others_go_on(factory, pool):
    factory.made["expert 0"].reason = "died"
    for _ in range(3):
        pool.check(lambda line: None)
    assert {name for name, actor in factory.made.items() if actor.killed} == {"expert 0", "gato 0"}
    assert factory.made["expert 0"].starts == 2


def test_a_task_that_cannot_be_evaluated_is_scored_no_more(factory, pool):
    factory.made["evaluator 0"].reason = "died"
    factory.coordinator.give_up_job.answer = TASKS[1]
    for _ in range(2):
        pool.check(lambda line: None)
    assert factory.coordinator.exclude_task.calls == [(TASKS[1],)]
    assert not factory.made["evaluator 0"].killed


def test_an_evaluator_that_fails_without_a_task_ends_the_run(factory, pool):
    factory.made["evaluator 0"].reason = "died"
    pool.check(lambda line: None)
    with pytest.raises(RunFailed, match="evaluator 0 died, 2 tries"):
        pool.check(lambda line: None)


def test_the_run_ends_once_no_task_is_left_to_learn_from(factory, pool):
    factory.made["expert 0"].reason = factory.made["expert 1"].reason = "died"
    pool.check(lambda line: None)
    with pytest.raises(RunFailed, match="nothing is left to learn from"):
        pool.check(lambda line: None)


def test_after_training_experts_and_gato_actors_are_ended_and_evaluators_go_on(factory, pool):
    pool.add_evaluator()
    pool.end_writers()
    assert {name for name, actor in factory.made.items() if not actor.killed} == {"evaluator 0", "evaluator 1"}
