"""The few things that differ between one worker and many. Every function is a no-op for one."""

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this worker publishes, reports and writes checkpoints."""
    return world_size() == 1 or dist.get_rank() == 0


def seed(value: int) -> None:
    """Seeds torch, differently on every worker: their random draws must not be the same."""
    torch.manual_seed(value if world_size() == 1 else value + 7919 * dist.get_rank())


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
