"""Everything that differs between one worker and many. With one worker, each function does nothing special."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from gato_dist.utils.port_filter import restrict_port
from learner.loss import LossModel

# Counts are exchanged between hosts with gloo. With NCCL, the host would have to wait for the GPU.
BACKENDS = {False: "gloo", True: "cpu:gloo,cuda:nccl"}


def world_size() -> int:
    """Returns the number of workers."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Returns the number of this worker, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def check_gpus(config: LearnerConfig) -> None:
    """Checks that this machine has a GPU for each learner worker, if they need one.

    Raises:
        InputError: if there are too few GPUs.
    """
    if config.gpu and (found := _usable_gpus()) < config.workers:
        raise InputError(f"learner.workers: {config.workers}, each with a GPU (learner.gpu), but torch can use {found}")


def _usable_gpus() -> int:
    """Returns the number of GPUs, at least 1. Raises InputError if there is none."""
    if not torch.cuda.is_available():
        raise InputError(
            f"learner.gpu: torch {torch.__version__} can use no GPU here (run `gato-dist doctor` for details); "
            f"set learner.gpu=false"
        )
    return torch.cuda.device_count()


def worker_device(gpu: bool) -> torch.device:
    """Returns this worker's device: the GPU with its local rank, or the CPU.

    Raises:
        InputError: if torch can use no GPU.
    """
    if not gpu:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % _usable_gpus())
    torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(gpu: bool) -> Iterator[torch.device]:
    """Joins the process group that torchrun's environment variables describe, if any; yields this worker's device."""
    device = worker_device(gpu)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield device
        return
    dist.init_process_group(BACKENDS[gpu])
    close_rendezvous_port()
    try:
        yield device
    finally:
        dist.destroy_process_group()


def close_rendezvous_port() -> None:
    """Closes the rendezvous port to other machines if all workers run on this one.

    torch's store listens on every interface, without authentication, and workers trust its contents. Under torchrun
    another process owns the port.
    """
    local_only = os.environ.get("MASTER_ADDR") == "127.0.0.1"
    if local_only and rank() == 0 and world_size() > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        restrict_port(int(os.environ["MASTER_PORT"]))


def is_first_worker() -> bool:
    """Returns whether this worker publishes, reports and writes checkpoints."""
    return rank() == 0


def seed_step(seed: int, step: int) -> None:
    """Seeds torch for one step, differently on each worker. A resumed run then draws the same numbers."""
    torch.manual_seed(int(np.random.SeedSequence([seed, rank(), step]).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def wrap_model(module: LossModel, config: LearnerConfig, device: torch.device) -> nn.Module:
    """Wraps a module so that gradients are averaged over workers. With `sharding: full`, shards its weights in place.

    Make the optimizer afterwards, because sharding replaces the parameters.

    Args:
        module: the model with its loss.
        config: the learner's section of the configuration.
        device: this worker's device.
    """
    if world_size() == 1:
        return module
    if config.sharding == "none":
        return DistributedDataParallel(module, gradient_as_bucket_view=True)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (world_size(),))
    # Weights are cast as autocast would do, but before they are sent to other workers; gradients are summed in float32.
    # On a CPU autocast does not cast LayerNorm's weights, so they must stay float32.
    param_dtype = torch.bfloat16 if config.precision == "bfloat16" and device.type == "cuda" else None
    policy = MixedPrecisionPolicy(param_dtype=param_dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in module.model.transformer.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh)
    return module


def accumulating(module: nn.Module, last: bool) -> AbstractContextManager:
    """Returns the context for one accumulated part of a step. Only the last part averages gradients over workers.

    Sharded gradients are exchanged after every part, because no worker has memory for all of them.
    """
    return module.no_sync() if isinstance(module, DistributedDataParallel) and not last else nullcontext()


def full_tensor(tensor: Tensor) -> Tensor:
    """Gathers a tensor that may be sharded. All workers must call it."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_shard(tensor: Tensor, like: Tensor) -> Tensor:
    """Returns this worker's shard of a whole tensor if `like` is sharded; otherwise the tensor on `like`'s device."""
    if world_size() > 1:
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(like, DTensor):
            return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return tensor.to(like.device)


def sum_over_workers(values: list[float]) -> list[float]:
    """Returns the sum of each value over workers."""
    return _reduce(values, dist.ReduceOp.SUM) if world_size() > 1 else values


def max_over_workers(values: list[float]) -> list[float]:
    """Returns the maximum of each value over workers."""
    return _reduce(values, dist.ReduceOp.MAX) if world_size() > 1 else values


def _reduce(values: list[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, operation)
    return tensor.tolist()


def gather_arrays(array: NDArray[Any]) -> NDArray[Any]:
    """Concatenates the workers' arrays in rank order along the first axis.

    Every worker must call it, with an array of the same shape and dtype.
    """
    if world_size() == 1:
        return array
    own = torch.from_numpy(array)
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.cat(parts).numpy()
