"""Weights and optimizer state as whole tensors by name, as checkpoints store them, for any sharding.

`torch.distributed.checkpoint.state_dict` is not used: on a CPU it returns the live tensors instead of copies, it makes
an optimizer step to initialise an optimizer that has no state, and it was no faster (measured with torch 2.13).
"""

import torch
from torch import Tensor, nn

from learner import parallel

OPTIMIZER_KEYS = ("step", "exp_avg", "exp_avg_sq")

Tensors = dict[str, Tensor]


def model_tensors(model: nn.Module) -> Tensors:
    """Copies the weights to the CPU. All workers must call it; only the first gets the tensors."""
    return _gather(dict(model.state_dict()))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """Copies the optimizer's state to the CPU, named `<key>.<parameter's name>`.

    All workers must call it; only the first gets the tensors.
    """
    return _gather(
        {
            f"{key}.{name}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state[parameter].items()
        }
    )


def load_model(model: nn.Module, saved: Tensors) -> None:
    """Loads whole tensors into a model, in place.

    Raises:
        RuntimeError: if names or shapes differ.
    """
    own = model.state_dict()
    model.load_state_dict({name: parallel.local_shard(value, own.get(name, value)) for name, value in saved.items()})


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Tensors) -> None:
    """Loads whole tensors into an optimizer. A parameter without saved state starts without state.

    Raises:
        KeyError: if only a part of a parameter's state was saved.
    """
    for name, parameter in model.named_parameters():
        keys = [f"{key}.{name}" for key in OPTIMIZER_KEYS]
        if not any(key in saved for key in keys):
            continue
        step, *moments = (saved[key] for key in keys)
        # The step count is not sharded. A fused optimizer reads it on the parameter's device.
        state = [step.to(parameter.device), *(parallel.local_shard(moment, parameter) for moment in moments)]
        optimizer.state[parameter] = dict(zip(OPTIMIZER_KEYS, state, strict=True))


def _gather(tensors: Tensors) -> Tensors:
    """Gathers one tensor after another, so that no device holds more than one whole tensor besides its shards."""
    copies = {}
    for name, tensor in tensors.items():
        full = parallel.full_tensor(tensor.detach())
        if parallel.is_first_worker():
            copies[name] = full.to("cpu", copy=True).contiguous()
    return copies
