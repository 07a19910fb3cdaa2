"""Weights and the optimizer's state as whole tensors by name, however workers share them: what checkpoints hold."""

import torch
from torch import Tensor, nn

from learner import parallel

OPTIMIZER_KEYS = ("step", "exp_avg", "exp_avg_sq")

Tensors = dict[str, Tensor]


def model_tensors(model: nn.Module) -> Tensors:
    """Copies on the CPU for the first worker, nothing for others. All workers must call it."""
    return _whole(dict(model.state_dict()))


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """`<key>.<parameter's name>`: copies on the CPU for the first worker, nothing for others. All must call it."""
    return _whole(
        {
            f"{key}.{name}": value
            for name, parameter in model.named_parameters()
            for key, value in optimizer.state[parameter].items()
        }
    )


def load_model(model: nn.Module, saved: Tensors) -> None:
    """Takes up whole tensors in place. Raises RuntimeError where names or shapes are others."""
    own = model.state_dict()
    model.load_state_dict({name: parallel.share(value, own.get(name, value)) for name, value in saved.items()})


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Tensors) -> None:
    """Takes up whole tensors; a parameter without any begins anew. Raises KeyError where it has some of them alone."""
    for name, parameter in model.named_parameters():
        keys = [f"{key}.{name}" for key in OPTIMIZER_KEYS]
        if not any(key in saved for key in keys):
            continue
        step, *moments = (saved[key] for key in keys)
        # A count of steps is nobody's share, and stands where a fused optimizer reads it.
        state = [step.to(parameter.device), *(parallel.share(moment, parameter) for moment in moments)]
        optimizer.state[parameter] = dict(zip(OPTIMIZER_KEYS, state, strict=True))


def _whole(tensors: Tensors) -> Tensors:
    """One after the other, so that no device holds more than one whole tensor beside its shares."""
    kept = {}
    for name, tensor in tensors.items():
        full = parallel.whole(tensor.detach())
        if parallel.is_first():
            kept[name] = full.to("cpu", copy=True).contiguous()
    return kept
