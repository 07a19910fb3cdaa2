"""Ray for the duration of a run, with room for everything that the run's processes reserve."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from gato_dist.config.run_config import RunConfig
from gato_dist.config.training_sections import ModelConfig
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.supervisor.demands import Demand, demands, unmet
from gato_dist.supervisor.plan import RunPlan
from gato_dist.supervisor.ray_init import STORE_BYTES, connect
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.signals import Interrupt

# Of the weights in the object store: one being sent, one kept, the version before while an actor reads it, and a spare.
COPIES = 4


@contextmanager
def ray_session(plan: RunPlan, interrupt: Interrupt) -> Iterator[list[str]]:
    """Connects to Ray, and shuts it down at the end with everything that the run started.

    Args:
        plan: of the run.
        interrupt: listens to signals again after Ray has set its own handlers.

    Yields:
        Lines for the run's log: shared memory that is too small, and processes for which a cluster has no node yet.

    Raises:
        InputError: if no cluster answers, or this machine lacks what a process reserves.
        RunFailed: if Ray does not start on this machine.
    """
    config = plan.config
    wanted = demands(config, live=plan.live_tasks)
    store_bytes = object_store_bytes(config.model, plan.tokenizer)
    connect(config.ray, _cpus(config, wanted), store_bytes)
    try:
        warnings = [] if config.ray.address else store_warnings(store_bytes)
        lacking = unmet(wanted, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        if lacking and not config.ray.address:
            raise InputError(f"{lacking[0]}; leave it out, or give ray.address of a cluster that offers it")
        # Ray's own signal handler would only exit.
        interrupt.listen()
        interrupt.check()
        yield warnings + [f"{line}: waiting for a node that joins" for line in lacking]
    finally:
        ray.shutdown()


def _cpus(config: RunConfig, wanted: list[Demand]) -> float:
    """Returns how many CPUs all processes reserve together, including the evaluators that start after training."""
    evaluation = config.evaluation
    final = max(evaluation.final_actors - evaluation.actors, 0) * evaluation.threads
    return final + sum(demand.count * demand.each.get("CPU", 0.0) for demand in wanted)


def object_store_bytes(config: ModelConfig, tokenizer: Tokenizer) -> int:
    """Returns the size of an object store that holds the weights in memory, so that Ray need not spill them to disk."""
    import torch

    with torch.device("meta"):
        model = Gato(config, tokenizer.vocabulary.size, tokenizer.tensor_size)
    return max(STORE_BYTES, COPIES * 4 * sum(parameter.numel() for parameter in model.parameters()))


def store_warnings(store_bytes: int, folder: str = "/dev/shm") -> list[str]:
    """Returns a line if shared memory has no room for Ray's object store, which Ray then puts on disk; else nothing.

    Args:
        store_bytes: size of the object store.
        folder: where shared memory is mounted.
    """
    free = shutil.disk_usage(folder).free
    if free >= store_bytes:
        return []
    return [
        f"{folder} has {free / 2**20:.0f} MiB free, Ray's object store wants {store_bytes / 2**20:.0f}: it lies on the "
        f"disk now, where weights travel slowly; make it larger (docker run --shm-size=4g)"
    ]
