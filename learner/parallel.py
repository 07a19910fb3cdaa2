"""The few things that differ between one worker and many. Every function is a no-op for one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if world_size() > 1 else 0


@contextmanager
def process_group(gpu: bool) -> Iterator[torch.device]:
    """The process group that torchrun's variables describe, if they do, and this worker's device."""
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if gpu else torch.device("cpu")
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield device
        return
    if gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def is_first() -> bool:
    """Whether this worker publishes, reports and writes checkpoints."""
    return rank() == 0


def seed_step(seed: int, step: int) -> None:
    """Seeds torch for one step, differently on every worker: a resumed run draws what an unbroken one would."""
    torch.manual_seed(int(np.random.SeedSequence([seed, rank(), step]).generate_state(1, np.uint64)[0] >> np.uint64(1)))


def wrap(module: nn.Module) -> nn.Module:
    """Data-parallel `module`. A batch without images leaves the patch embedding without gradients."""
    return DistributedDataParallel(module, find_unused_parameters=True) if world_size() > 1 else module


def total(value: float, device: torch.device | str = "cpu") -> float:
    """The sum over workers."""
    if world_size() == 1:
        return value
    tensor = torch.tensor(float(value), device=device)
    dist.all_reduce(tensor)
    return float(tensor)


def maximum(values: list[float], device: torch.device | str = "cpu") -> list[float]:
    """The greatest of each value over workers: what one of them wants, all do."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.tolist()


def gather(array: np.ndarray, device: torch.device | str = "cpu") -> np.ndarray:
    """Arrays of all workers, of one shape, one after the other along their first axis."""
    if world_size() == 1:
        return array
    own = torch.from_numpy(array).to(device)
    parts = [torch.empty_like(own) for _ in range(world_size())]
    dist.all_gather(parts, own)
    return torch.cat(parts).cpu().numpy()
