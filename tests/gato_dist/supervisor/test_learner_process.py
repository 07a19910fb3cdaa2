"""The learner's process is restarted if it dies, and its errors end the run; without Ray."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from ray.exceptions import RayTaskError, WorkerCrashedError

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from gato_dist.supervisor import learner_process
from gato_dist.supervisor.errors import RunFailed
from gato_dist.supervisor.learner_process import LearnerProcess
from gato_dist.utils.restarts import MAX_FAILURES, RecoveryTimer

RUNNING = object()


class FakeRay:
    """Ray as far as `LearnerProcess` uses it. `tasks` holds what each started task came to."""

    def __init__(self) -> None:
        self.tasks: list[list] = []
        self.done = False

    def remote(self, function=None, *arguments):
        if function is not None and not arguments:
            return self
        self.tasks.append([RUNNING])
        return self.tasks[-1]

    def options(self, **options) -> "FakeRay":
        return self

    def wait(self, references, timeout=0):
        return [each for each in references if each[0] is not RUNNING], []

    def get(self, reference):
        value = reference[0]
        if isinstance(value, Exception):
            raise value
        return value


@pytest.fixture
def ray(monkeypatch) -> FakeRay:
    fake = FakeRay()
    monkeypatch.setattr(learner_process, "ray", fake)
    monkeypatch.setattr(learner_process, "this_node", lambda: None)
    monkeypatch.setattr(learner_process, "release_placement_groups", lambda: None)
    return fake


@pytest.fixture
def learner(ray) -> LearnerProcess:
    coordinator = SimpleNamespace(learner_done=SimpleNamespace(remote=lambda: [ray.done]))
    return LearnerProcess(
        lambda: None, LearnerConfig(), Path("ray_train"), coordinator=coordinator, recoveries=RecoveryTimer()
    )


def test_it_runs_until_the_coordinator_knows_that_the_learner_is_done(ray, learner):
    assert learner.running
    ray.done = True
    assert not learner.running
    ray.done = False
    ray.tasks[-1][0] = None
    assert not learner.running


def test_a_dead_process_is_restarted_until_it_has_died_too_often(ray, learner):
    lines: list[str] = []
    for _ in range(MAX_FAILURES):
        ray.tasks[-1][0] = WorkerCrashedError()
        assert (learner.running, learner.crashed) == (True, True)
        learner.check(lines.append)
    assert len(ray.tasks) == 1 + MAX_FAILURES
    assert lines[0] == "the learner's driver died; starting it again (1 of 5)"
    ray.tasks[-1][0] = WorkerCrashedError()
    with pytest.raises(RunFailed, match=r"the learner's driver died 6 times"):
        learner.check(lines.append)


def test_a_process_that_dies_after_its_work_is_done_is_not_restarted(ray, learner):
    ray.done, ray.tasks[-1][0] = True, WorkerCrashedError()
    learner.check(lambda line: None)
    assert len(ray.tasks) == 1


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InputError("learner.gpu: none here"), InputError, "^learner.gpu: none here$"),
        (ValueError("odd"), RunFailed, "^learner: ValueError: odd$"),
    ],
)
def test_an_error_of_the_learner_ends_the_run(ray, learner, error, kind, message):
    text = f"Traceback\n{type(error).__name__}: {error}"
    ray.tasks[-1][0] = RayTaskError("fit", text, error).as_instanceof_cause()
    with pytest.raises(kind, match=message):
        learner.check(lambda line: None)
