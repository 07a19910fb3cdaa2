"""What Ray Train raises: whether a process died, which is tried again, or the job raised something, which is not."""

import pytest

pytest.importorskip("ray")
from ray.exceptions import RayActorError
from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

from learner.ray_train import _of_death

GONE = WorkerHealthCheckFailedError("gone", RayActorError())


@pytest.mark.parametrize(
    ("error", "died"),
    [
        (WorkerGroupError("one of two", {0: RuntimeError("connection closed by peer"), 1: GONE}), True),
        (WorkerGroupError("the only one", {0: GONE}), True),
        (WorkerGroupError("raised", {0: RuntimeError("loss is not finite")}), False),
        (ControllerError(WorkerGroupStartupFailedError("node gone")), True),
        (ControllerError(ValueError("wrong")), False),
        (RayActorError(), True),
    ],
)
def test_deaths_are_told_from_what_the_job_raised(error, died):
    assert _of_death(error) is died
