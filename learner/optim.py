"""AdamW with the paper's coefficients and learning-rate schedule (paper, section C.4)."""

from math import cos, pi

import torch
from torch import nn

from gato_dist.config.training_sections import LearnerConfig

BETAS = (0.9, 0.95)
EPSILON = 1e-8
INITIAL_RATE = 1e-7


def make_optimizer(model: nn.Module, config: LearnerConfig) -> torch.optim.AdamW:
    """Makes the optimizer of a model. Weight decay applies only to matrices, not to biases, norms and embeddings."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, (nn.Embedding, nn.EmbeddingBag))}
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for parameter in model.parameters():
        (matrices if parameter.ndim > 1 and id(parameter) not in tables else others).append(parameter)
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=BETAS, eps=EPSILON, fused=True)


def learning_rate(config: LearnerConfig, step: int, progress: float) -> float:
    """Returns the learning rate: a linear warm-up from 1e-7, then a cosine decay to `final_lr_ratio` of the maximum.

    Args:
        config: maximum, warm-up steps and final share.
        step: gradient steps so far.
        progress: share of the run that is done, in [0, 1].
    """
    peak = config.learning_rate
    if step < config.warmup_steps:
        return INITIAL_RATE + (peak - INITIAL_RATE) * step / config.warmup_steps
    floor = config.final_lr_ratio * peak
    return floor + (peak - floor) * (1 + cos(pi * min(progress, 1.0))) / 2
