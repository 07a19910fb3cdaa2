"""The learner under Ray Train: N data-parallel workers that all run the same job, and again where one dies."""

from collections.abc import Callable
from pathlib import Path

MAX_DEATHS = 5


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

    Where a worker dies, all of them are started anew, up to 5 times: the job begins from its newest checkpoint. `tell`
    is told. cpus, resources: what of Ray's each worker reserves, beside a GPU where `gpu`. storage: where Ray Train
    keeps its own notes.
    Raises what the first failing worker raised, wrapped by Ray Train.
    """
    from ray.exceptions import RayActorError
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer
    from ray.train.v2.api.exceptions import TrainingFailedError

    from learner.parallel import BACKENDS

    for deaths in range(1, MAX_DEATHS + 2):
        trainer = TorchTrainer(
            _run,
            train_loop_config={"job": job},
            torch_config=TorchConfig(backend=BACKENDS[gpu]),
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
            if deaths > MAX_DEATHS or not _of_death(error):
                raise
            tell(f"learner worker died; starting it again ({deaths} of {MAX_DEATHS})")
        else:
            return


def _of_death(error: BaseException) -> bool:
    """Whether a process died, rather than the job raising something. Its fellows then raise what comes of it."""
    from ray.exceptions import RayActorError
    from ray.train.v2._internal.exceptions import WorkerGroupStartupFailedError, WorkerHealthCheckFailedError
    from ray.train.v2.api.exceptions import ControllerError, WorkerGroupError

    lost = (RayActorError, WorkerHealthCheckFailedError, WorkerGroupStartupFailedError)
    if isinstance(error, WorkerGroupError):
        return any(isinstance(each, lost) for each in error.worker_failures.values())
    return isinstance(error.controller_failure if isinstance(error, ControllerError) else error, lost)


def _run(config: dict) -> None:
    from ray.train import get_context

    from learner.parallel import keep_off_network

    keep_off_network()
    config["job"](get_context().get_world_rank())
