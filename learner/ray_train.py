"""The learner under Ray Train: N data-parallel workers that all run the same job, and again where one dies."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gato_dist.utils.restarts import MAX_FAILURES, RecentFailures

_terminated = threading.Event()


def fit(
    job: Callable[[int], None],
    workers: int,
    gpu: bool,
    cpus: float,
    storage: Path,
    resources: dict[str, float],
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Runs `job(rank)` on every worker, with a torch process group between them; returns when all have returned.

    Where a job raises Preempted, all of them are started again, on machines that stay; and where a worker dies, up to 5
    times in ten minutes, which `tell` is told. The job begins from its newest checkpoint then.
    cpus, resources: what of Ray's each worker reserves, beside a GPU where `gpu`. storage: where Ray Train keeps its
    own notes.
    Raises what the first failing worker raised, wrapped by Ray Train.
    """
    from ray.exceptions import RayActorError
    from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError

    deaths, make_trainer = RecentFailures(), _trainer()
    while True:
        trainer = make_trainer(
            _run,
            train_loop_config={"job": job},
            torch_config=_torch_config(gpu),
            scaling_config=ScalingConfig(
                num_workers=workers,
                use_gpu=gpu,
                resources_per_worker={"CPU": cpus} | ({"GPU": 1} if gpu else {}) | resources,
            ),
            # Ray Train would also start again what the job itself raised: that comes back, and hides what was wrong.
            run_config=RunConfig(storage_path=str(storage), failure_config=FailureConfig(max_failures=0)),
        )
        try:
            trainer.fit()
        except (TrainingFailedError, RayActorError) as error:
            if "learner.train.Preempted" in str(error):
                continue
            if not _of_death(error) or deaths.add() > MAX_FAILURES:
                raise
            give_back_places()
            tell(f"learner worker died; starting it again ({deaths.count} of {MAX_FAILURES})")
        else:
            return


def give_back_places() -> None:
    """Takes from the workers of a learner whose driver died what they reserve: its successor would wait for ever.

    All placement groups of this job are Ray Train's.
    """
    import ray
    from ray.util import placement_group_table, remove_placement_group
    from ray.util.placement_group import PlacementGroup

    job = ray.get_runtime_context().get_job_id()
    for number, group in placement_group_table().items():
        if number.endswith(job) and group["state"] != "REMOVED":
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(bytes.fromhex(number))))


def _trainer() -> Any:
    """Ray Train's, without the actor by which it gives back what a dead driver's workers reserve.

    That of Ray 2.60 asks the dashboard whether the driver lives; where there is none it asks for ever, and one more
    is left behind by every death.
    """
    from ray.train.torch import TorchTrainer
    from ray.train.v2._internal.callbacks import placement_group_callback

    base: Any = TorchTrainer

    class Trainer(base):
        def _create_default_callbacks(self) -> list:
            cleaner = placement_group_callback.PlacementGroupCleanerCallback
            return [each for each in super()._create_default_callbacks() if not isinstance(each, cleaner)]

    return Trainer


def _of_death(error: BaseException) -> bool:
    """Whether a process died, rather than the job raising something. Its fellows then raise what comes of it."""
    from ray.exceptions import RayActorError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
    from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

    lost = (RayActorError, WorkerHealthCheckFailedError, WorkerGroupStartupFailedError)
    if isinstance(error, WorkerGroupError):
        return any(isinstance(each, lost) for each in error.worker_failures.values())
    return isinstance(error.controller_failure if isinstance(error, ControllerError) else error, lost)


def leaves() -> bool:
    """In a worker: whether its machine is about to be taken away, by a SIGTERM or by what the cluster says of it.

    Not `ray.train.get_preemption_info`: that is an exchange between all workers, and they have one in every step.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    return _terminated.is_set() or get_train_context().preemption_context.preemption_info is not None


def _run(config: dict) -> None:
    from ray.train import get_context

    from learner.parallel import close_rendezvous_port

    close_rendezvous_port()
    config["job"](get_context().get_world_rank())


def _torch_config(gpu: bool) -> Any:
    """Ray Train's, whose workers note a SIGTERM and go on, where Ray's own handler would end them."""
    from ray.train.torch import TorchConfig
    from ray.train.torch.config import _TorchBackend

    from learner.parallel import BACKENDS

    class Backend(_TorchBackend):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            super().on_start(worker_group, backend_config)
            # On the main thread, which alone may set handlers; the job runs on another.
            worker_group.execute(_listen)

    class Config(TorchConfig):
        @property
        def backend_cls(self) -> type:
            return Backend

    return Config(backend=BACKENDS[gpu])


def _listen() -> None:
    signal.signal(signal.SIGTERM, lambda number, frame: _terminated.set())
