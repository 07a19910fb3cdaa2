"""Errors of other processes: recognised by their type after real Ray has carried them, and explained in one line."""

import subprocess
import sys

import pytest
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, OutOfMemoryError, RayTaskError

from gato_dist.errors import InputError, InvalidStepError
from gato_dist.supervisor.errors import explain, input_error

CARRIED = """
import sys
import ray
from gato_dist.config.process_sections import RayConfig
from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError, InvalidStepError
from gato_dist.supervisor.errors import explain, input_error
from gato_dist.supervisor.ray_init import connect
from gato_dist.supervisor.waiting import start_actor
from actors.ray_actors import ReplayActor
from learner.ray_train import fit
from learner.learner import NonFiniteLoss

@ray.remote(num_cpus=0)
def refuse(kind):
    try:
        raise ValueError("inner")
    except ValueError as error:
        raise kind("replay.size: too small") from error

@ray.remote(num_cpus=0)
def ask(kind):
    # As an actor that asks the coordinator, which refuses.
    ray.get(refuse.remote(kind))

def start_server():
    raise InputError("replay.port: 1 is in use")

def job():
    raise InputError("learner.gpu: none here")

def job_that_asks():
    ray.get(refuse.remote(InputError))

def job_without_loss():
    raise NonFiniteLoss("not finite")

def caught(reference):
    try:
        ray.get(reference, timeout=240)
    except ray.exceptions.RayError as error:
        return error

connect(RayConfig(), 2)
for task in (refuse, ask):
    print(input_error(caught(task.remote(InputError))), input_error(caught(task.remote(InvalidStepError))))
server = start_actor(ReplayActor, start_server)
print(input_error(caught(server.began.remote())), "/", input_error(caught(server.metrics.remote())))
remote_fit = ray.remote(num_cpus=0)(fit)
for each in (job, job_that_asks):
    print(input_error(caught(remote_fit.remote(each, LearnerConfig(), sys.argv[1]))))
error = caught(remote_fit.remote(job_without_loss, LearnerConfig(), sys.argv[1]))
print(input_error(error), isinstance(error, NonFiniteLoss), explain(error), flush=True)
ray.shutdown()
"""


def test_input_errors_are_recognised_after_they_have_crossed_processes(tmp_path):
    done = subprocess.run([sys.executable, "-c", CARRIED, str(tmp_path)], capture_output=True, text=True, timeout=500)
    assert done.stdout.splitlines()[-6:] == [
        "replay.size: too small None",
        "replay.size: too small None",
        "replay.port: 1 is in use / replay.port: 1 is in use",
        "learner.gpu: none here",
        "replay.size: too small",
        "None True learner.learner.NonFiniteLoss: not finite",
    ], done.stdout + done.stderr


def carried(error: Exception) -> RayTaskError:
    """The error as Ray carries it from a task."""
    return RayTaskError("task", f"Traceback\n{type(error).__name__}: {error}", error).as_instanceof_cause()


def test_an_error_of_an_environment_is_no_input_error():
    """A wrong key ends the run at once; an actor whose simulator failed is restarted."""
    assert str(input_error(carried(InputError("replay.size: too small")))) == "replay.size: too small"
    assert input_error(carried(InvalidStepError("a/b, rewards, step 3: nan is not finite"))) is None
    assert input_error(carried(ValueError("gato_dist.errors.InputError: quoted"))) is None


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OutOfMemoryError("Task was killed due to the node running low on memory."), "lower num_envs"),
        (ObjectStoreFullError("Failed to put object"), "/dev/shm"),
        (OutOfDiskError("Local disk is full"), "free some of /tmp"),
    ],
)
def test_a_shortage_is_explained_with_advice_in_one_line(error, advice):
    for each in (error, carried(error)):
        line = explain(each)
        assert advice in line
        assert line.endswith("go on with --resume")
        assert "\n" not in line


def test_any_other_error_is_explained_by_its_last_line():
    error = RuntimeError("a\ntorch.OutOfMemoryError: CUDA out of memory")
    assert explain(error) == "torch.OutOfMemoryError: CUDA out of memory"
    assert explain(RuntimeError()) == "RuntimeError"
