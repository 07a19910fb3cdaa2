"""The learner under Ray Train: deaths are distinguished from errors of the job, and leave no reservation behind."""

import subprocess
import sys

import pytest

pytest.importorskip("ray")
from ray.exceptions import OutOfMemoryError, RayActorError, RayTaskError
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from gato_dist.errors import InputError
from learner.ray_train import _is_death, _most_telling, failures_behind
from learner.train import Preempted

DEAD = WorkerHealthCheckFailedError("gone", RayActorError())


@pytest.mark.parametrize(
    ("error", "died"),
    [
        (WorkerGroupError("one of two", {0: RuntimeError("connection closed by peer"), 1: DEAD}), True),
        (WorkerGroupError("the only one", {0: DEAD}), True),
        (WorkerGroupError("raised", {0: RuntimeError("loss is not finite")}), False),
        (WorkerGroupError("raised", {0: Preempted("learner.train.Preempted")}), False),
        (ControllerError(WorkerGroupStartupFailedError("node gone")), True),
        (ControllerError(ValueError("wrong")), False),
        (RayActorError(), True),
    ],
)
def test_a_death_is_distinguished_from_an_error_of_the_job(error, died):
    assert any(map(_is_death, failures_behind(error))) is died


def test_the_input_error_of_any_worker_is_raised_without_wrappers():
    refused = InputError("learner.gpu: none")
    carried = RayTaskError("job", "Traceback", refused).as_instanceof_cause()
    for failure in (refused, carried):
        assert _most_telling([RuntimeError("connection closed by peer"), failure]) is refused


def test_the_death_of_a_worker_without_memory_is_raised_as_such():
    killed = OutOfMemoryError("killed")
    assert _most_telling([WorkerHealthCheckFailedError("gone", killed)]) is killed


DEAD_DRIVER = """
import ray
from ray.util import placement_group
from gato_dist.config.process_sections import RayConfig
from gato_dist.supervisor.ray_init import connect
from learner.ray_train import release_placement_groups

@ray.remote(num_cpus=0, max_retries=0)
def driver():
    # Like that of a Ray Train driver whose process has died.
    group = placement_group([{"CPU": 2}], lifetime="detached")
    ray.get(group.ready())

@ray.remote(num_cpus=2)
def successor():
    return "works"

connect(RayConfig(), 2)
ray.get(driver.remote())
work = successor.remote()
print(ray.wait([work], timeout=2)[0], flush=True)
release_placement_groups()
print(ray.get(work, timeout=60), flush=True)
ray.shutdown()
"""


def test_what_the_workers_of_a_dead_driver_reserve_is_released():
    done = subprocess.run([sys.executable, "-c", DEAD_DRIVER], capture_output=True, text=True, timeout=300)
    assert done.stdout.split("\n")[:2] == ["[]", "works"], done.stdout + done.stderr
