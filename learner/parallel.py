"""The few things that differ between one worker and many. Every function is a no-op for one."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from gato_dist.utils.port_filter import restrict_port
from learner.loss import LossModel

# Counts and wishes go over gloo, from host to host: asked of the GPU, they would make the host wait for it.
BACKENDS = {False: "gloo", True: "cpu:gloo,cuda:nccl"}


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


def check_gpus(config: LearnerConfig) -> None:
    """Raises InputError if this machine lacks the GPUs of all learner workers, which are to run here."""
    if config.gpu and (found := _usable_gpus()) < config.workers:
        raise InputError(f"learner.workers: {config.workers}, each with a GPU (learner.gpu), but torch can use {found}")


def _usable_gpus() -> int:
    """At least 1. Raises InputError if there is none."""
    if not torch.cuda.is_available():
        raise InputError(
            f"learner.gpu: torch {torch.__version__} can use no GPU here (`gato-dist doctor` says more); "
            f"set learner.gpu=false"
        )
    return torch.cuda.device_count()


def own_device(gpu: bool) -> torch.device:
    """This worker's device, by its place among the workers of its machine.

    Raises InputError if there is no GPU that torch can use.
    """
    if not gpu:
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)) % _usable_gpus())
    torch.cuda.set_device(device)
    return device


@contextmanager
def process_group(gpu: bool) -> Iterator[torch.device]:
    """The process group that torchrun's variables describe, if they do, and this worker's device."""
    device = own_device(gpu)
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield device
        return
    dist.init_process_group(BACKENDS[gpu])
    keep_off_network()
    try:
        yield device
    finally:
        dist.destroy_process_group()


def keep_off_network() -> None:
    """Lets this machine alone reach the workers' meeting point, where it is of this machine alone.

    torch's store listens on every interface and authenticates nobody; what stands in it, workers believe. Under
    torchrun another process holds it.
    """
    alone = os.environ.get("MASTER_ADDR") == "127.0.0.1"
    if alone and rank() == 0 and world_size() > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        restrict_port(int(os.environ["MASTER_PORT"]))


def is_first() -> bool:
    """Whether this worker publishes, reports and writes checkpoints."""
    return rank() == 0


def seed_step(seed: int, step: int) -> None:
    """Seeds torch for one step, differently on every worker: a resumed run draws what an unbroken one would."""
    torch.manual_seed(int(np.random.SeedSequence([seed, rank(), step]).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def wrap(module: LossModel, config: LearnerConfig, device: torch.device) -> nn.Module:
    """`module` with gradients averaged over workers; with `sharding: full` its weights are shared out in place.

    Optimizers are made afterwards: sharded weights are other parameters.
    """
    if world_size() == 1:
        return module
    if config.sharding == "none":
        return DistributedDataParallel(module, gradient_as_bucket_view=True)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (world_size(),))
    # What autocast would make of a block's weights, made before they travel; gradients are summed in float32. On a CPU
    # autocast leaves LayerNorm's weights as they are, which must then be float32.
    half = torch.bfloat16 if config.precision == "bfloat16" and device.type == "cuda" else None
    policy = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for block in module.model.transformer.blocks:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(module, mesh=mesh)
    return module


def accumulating(module: nn.Module, last: bool) -> AbstractContextManager:
    """Around one part of a step: gradients of all but the last stay with their worker.

    Sharded ones are exchanged after every part: no worker has room for all of them.
    """
    return module.no_sync() if isinstance(module, DistributedDataParallel) and not last else nullcontext()


def whole(tensor: Tensor) -> Tensor:
    """All of a tensor that workers may share; all of them must call it."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def share(tensor: Tensor, like: Tensor) -> Tensor:
    """This worker's share of a whole tensor, if `like` is shared out; else the tensor on `like`'s device."""
    if world_size() > 1:
        from torch.distributed.tensor import DTensor, distribute_tensor

        if isinstance(like, DTensor):
            return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
    return tensor.to(like.device)


def totals(values: list[float]) -> list[float]:
    """The sum of each value over workers."""
    return _reduce(values, dist.ReduceOp.SUM) if world_size() > 1 else values


def maximum(values: list[float]) -> list[float]:
    """The greatest of each value over workers: what one of them wants, all do."""
    return _reduce(values, dist.ReduceOp.MAX) if world_size() > 1 else values


def _reduce(values: list[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor, operation)
    return tensor.tolist()


def gather(array: np.ndarray) -> np.ndarray:
    """Arrays of all workers, of one shape, one after the other along their first axis."""
    if world_size() == 1:
        return array
    own = torch.from_numpy(array)
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.cat(parts).numpy()
