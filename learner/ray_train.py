"""Runs the learner under Ray Train: data-parallel workers that all do the same job, restarted if one of them dies."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from gato_dist.utils.restarts import MAX_FAILURES, RecentFailures
from learner.parallel import BACKENDS
from learner.train import Preempted

_terminated = threading.Event()


def fit(
    job: Callable[[], None], config: LearnerConfig, storage: Path, on_death: Callable[[str], None] = lambda line: None
) -> None:
    """Runs `job` on every worker, with a torch process group between them; returns when all of them have returned.

    All workers are restarted, and begin again from the newest checkpoint, if a job raises Preempted, or if a worker
    dies: up to 5 times in ten minutes.

    Args:
        job: what each worker does. It finds its rank in the process group.
        config: number of workers, and what each of them reserves.
        storage: folder for Ray Train's own files.
        on_death: called with a line for the log whenever workers are restarted after a death.

    Raises:
        Exception: what the job raised in one of the workers, preferably an InputError; or, if workers died too often,
            the last death.
    """
    from ray.exceptions import RayActorError
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

    deaths, make_trainer = RecentFailures(), _trainer_class()
    resources = {"CPU": config.threads} | ({"GPU": 1} if config.gpu else {}) | config.resources
    while True:
        trainer = make_trainer(
            job,
            torch_config=_torch_config(config.gpu),
            scaling_config=ScalingConfig(
                num_workers=config.workers, use_gpu=config.gpu, resources_per_worker=resources
            ),
            # Ray Train would also retry after an error of the job itself, which hides the error for a long time.
            run_config=RunConfig(storage_path=str(storage), failure_config=FailureConfig(max_failures=0)),
        )
        try:
            trainer.fit()
        except (TrainingFailedError, RayActorError) as error:
            failures = failures_behind(error)
            if any(isinstance(failure, Preempted) for failure in failures):
                continue
            died = [failure for failure in failures if _is_death(failure)]
            if not died or deaths.add() > MAX_FAILURES:
                raise _most_telling(died or failures) from error
            release_placement_groups()
            on_death(f"learner worker died; starting it again ({deaths.count} of {MAX_FAILURES})")
        else:
            return


def failures_behind(error: BaseException) -> list[BaseException]:
    """Returns what failed in the workers, or in Ray Train's controller, without Ray Train's outer wrapper."""
    from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

    if isinstance(error, WorkerGroupError):
        return list(error.worker_failures.values()) or [error]
    return [error.controller_failure if isinstance(error, ControllerError) else error]


def _is_death(failure: BaseException) -> bool:
    """Whether a process died, rather than its job raising an error. Other workers then raise connection errors."""
    from ray.exceptions import RayActorError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError

    return isinstance(failure, RayActorError | WorkerHealthCheckFailedError | WorkerGroupStartupFailedError)


def _most_telling(failures: list[BaseException]) -> BaseException:
    """Returns the InputError among the failures, or else the first failure; without wrappers, which may not pickle."""
    from ray.exceptions import RayTaskError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    causes = []
    for failure in failures:
        if isinstance(failure, WorkerHealthCheckFailedError):
            failure = failure.health_check_failure
        causes.append(failure.cause if isinstance(failure, RayTaskError) else failure)
    return next((cause for cause in causes if isinstance(cause, InputError)), causes[0])


def release_placement_groups() -> None:
    """Frees what the workers of a dead Ray Train driver still reserve; its successor would wait for it forever.

    All placement groups of a gato_dist job belong to Ray Train.
    """
    import ray
    from ray.util import placement_group_table, remove_placement_group
    from ray.util.placement_group import PlacementGroup

    job = ray.get_runtime_context().get_job_id()
    for number, group in placement_group_table().items():
        if number.endswith(job) and group["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(number))))


def preempted() -> bool:
    """Returns, in a worker, whether its machine is about to be taken away: after a SIGTERM, or a notice of the cluster.

    `ray.train.get_preemption_info` is not used: it is a collective call, and workers already have one in every step.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    return _terminated.is_set() or get_train_context().preemption_context.preemption_info is not None


def _trainer_class() -> Any:
    """Returns TorchTrainer without its callback that frees what a dead driver's workers reserve.

    In Ray 2.60 this callback asks the dashboard whether the driver lives. Without a dashboard it asks forever, and
    every death leaves one more such actor behind. `release_placement_groups` does the same work.
    """
    from ray.train.torch import TorchTrainer
    from ray.train.v2._internal.callbacks import placement_group_callback

    base: Any = TorchTrainer

    class Trainer(base):
        def _create_default_callbacks(self) -> list:
            cleaner = placement_group_callback.PlacementGroupCleanerCallback
            return [each for each in super()._create_default_callbacks() if not isinstance(each, cleaner)]

    return Trainer


def _torch_config(gpu: bool) -> Any:
    """Returns a TorchConfig whose workers only remember a SIGTERM; Ray's own handler would end them at once."""
    from ray.train.torch import TorchConfig
    from ray.train.torch.config import _TorchBackend

    class Backend(_TorchBackend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            super().on_start(worker_group, backend_config)
            # This runs on the main thread, the only one that may set signal handlers; the job runs on another.
            worker_group.execute(_remember_sigterm)

    class Config(TorchConfig):
        @property
        def backend_cls(self) -> type:
            return Backend

    return Config(backend=BACKENDS[gpu])


def _remember_sigterm() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: _terminated.set())
