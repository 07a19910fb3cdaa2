"""The learner under Ray Train: N data-parallel workers that all run the same job."""

from collections.abc import Callable
from pathlib import Path


def fit(
    job: Callable[[int], None], workers: int, gpu: bool, cpus: float, storage: Path, resources: dict[str, float]
) -> None:
    """Runs `job(rank)` on every worker, with a torch process group between them; returns when all have returned.

    cpus, resources: what of Ray's each worker reserves, beside a GPU where `gpu`. storage: where Ray Train keeps its
    own notes.
    Raises what the first failing worker raised, wrapped by Ray Train.
    """
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    from learner.parallel import BACKENDS

    trainer = TorchTrainer(
        _run,
        train_loop_config={"job": job},
        torch_config=TorchConfig(backend=BACKENDS[gpu]),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=gpu,
            resources_per_worker={"CPU": cpus} | ({"GPU": 1} if gpu else {}) | resources,
        ),
        run_config=RunConfig(storage_path=str(storage), failure_config=FailureConfig(max_failures=0)),
    )
    trainer.fit()


def _run(config: dict) -> None:
    from ray.train import get_context

    from learner.parallel import keep_off_network

    keep_off_network()
    config["job"](get_context().get_world_rank())
