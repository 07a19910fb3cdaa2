"""Policy networks of trained experts in plain torch, with stable-baselines3's weights or this project's.

`flat` and `nature` are stable-baselines3's MlpPolicy and CnnPolicy (Mnih et al. 2015). `impala` is the residual network
of Espeholt et al. 2018 (arXiv 1802.01561), which Procgen's baselines use.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import nn

from gato_dist.errors import brief

ACTIVATIONS: dict[str, type[nn.Module]] = {"tanh": nn.Tanh, "relu": nn.ReLU, "elu": nn.ELU, "gelu": nn.GELU}
Weights = dict[str, torch.Tensor]
LOG_STD_MIN, LOG_STD_MAX = -20.0, 2.0  # SAC's


@dataclass(frozen=True)
class Architecture:
    """Everything that decides a network's layers.

    Attributes:
        features: the network that reads the observation.
        input_shape: (D,) or (C, H, W).
        hidden: widths of the hidden layers after the features.
        activation: a key of `ACTIVATIONS`.
        output: what the head's numbers are. `categorical`: logits. `greedy`: action values. `gaussian`: means of
            actions, which are clipped to their bounds. `squashed`: means before tanh, which is scaled to the bounds.
            `tanh`: the same without a distribution.
        outputs: number of outputs of the head.
        features_size: width after an image network; 0 for flat inputs.
    """

    features: Literal["flat", "nature", "impala"]
    input_shape: tuple[int, ...]
    hidden: tuple[int, ...]
    activation: str
    output: Literal["categorical", "greedy", "gaussian", "squashed", "tanh"]
    outputs: int
    features_size: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Architecture":
        """Returns the architecture of a `to_dict`. Raises TypeError or KeyError if keys are missing or unknown."""
        return cls(**data | {"input_shape": tuple(data["input_shape"]), "hidden": tuple(data["hidden"])})


class NatureFeatures(nn.Module):
    """The network of Mnih et al. 2015: images as floats in [0, 1], [N, C, H, W] → [N, size]."""

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        super().__init__()
        self.cnn = nn.Sequential(
            nn.Conv2d(shape[0], 32, 8, 4), nn.ReLU(), nn.Conv2d(32, 64, 4, 2), nn.ReLU(),
            nn.Conv2d(64, 64, 3, 1), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        self.linear = nn.Sequential(nn.Linear(_flat_size(self.cnn, shape), size), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.linear(self.cnn(images))
        return features


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.second(self.first(x.relu()).relu())


class ImpalaFeatures(nn.Module):
    """The network of Espeholt et al. 2018, with 16, 32 and 32 channels: floats in [0, 1], [N, C, H, W] → [N, size]."""

    def __init__(self, shape: tuple[int, ...], size: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        channels = shape[0]
        for width in (16, 32, 32):
            stages += [nn.Conv2d(channels, width, 3, padding=1), nn.MaxPool2d(3, 2, padding=1)]
            stages += [_Residual(width), _Residual(width)]
            channels = width
        self.cnn = nn.Sequential(*stages, nn.ReLU(), nn.Flatten())
        self.linear = nn.Sequential(nn.Linear(_flat_size(self.cnn, shape), size), nn.ReLU())

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.linear(self.cnn(images))
        return features


class PolicyNetwork(nn.Module):
    """Preprocessed observations → (head [N, outputs], log of the standard deviations [N, outputs] or None)."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        a = self.architecture = architecture
        self.features = _features(a)
        width, layers = a.features_size or a.input_shape[0], []
        for size in a.hidden:
            layers += [nn.Linear(width, size), ACTIVATIONS[a.activation]()]
            width = size
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(width, a.outputs)
        if a.output == "squashed":
            self.log_std_head = nn.Linear(width, a.outputs)
        if a.output == "gaussian":
            self.log_std = nn.Parameter(torch.zeros(a.outputs))

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        if observations.dtype == torch.uint8:
            observations = observations.float() / 255.0
        latent = self.body(self.features(observations))
        log_std = None
        if self.architecture.output == "squashed":
            log_std = self.log_std_head(latent).clamp(LOG_STD_MIN, LOG_STD_MAX)
        elif self.architecture.output == "gaussian":
            log_std = self.log_std.expand(len(latent), -1)
        return self.head(latent), log_std


def _features(a: Architecture) -> nn.Module:
    if a.features == "flat":
        return nn.Flatten()
    return (NatureFeatures if a.features == "nature" else ImpalaFeatures)(a.input_shape, a.features_size)


def _flat_size(module: nn.Module, shape: tuple[int, ...]) -> int:
    with torch.no_grad():
        return module(torch.zeros(1, *shape)).shape[1]


# Prefixes of stable-baselines3's names → our names. Other weights (critics, targets, value heads) do not act.
_PREFIXES: dict[str, dict[str, str]] = {
    "actor_critic": {
        "features_extractor.trunk.": "features.", "features_extractor.": "features.",
        "pi_features_extractor.trunk.": "features.", "pi_features_extractor.": "features.",
        "mlp_extractor.policy_net.": "body.", "action_net.": "head.", "log_std": "log_std",
    },
    "sac": {
        "actor.features_extractor.": "features.", "actor.latent_pi.": "body.", "actor.mu.": "head.",
        "actor.log_std.": "log_std_head.",
    },
    "td3": {"actor.features_extractor.": "features.", "actor.mu.": "body."},
    "dqn": {"q_net.features_extractor.": "features.", "q_net.q_net.": "body."},
}  # fmt: skip
DEFAULT_ACTIVATIONS = {"actor_critic": "tanh", "sac": "relu", "td3": "relu", "dqn": "relu"}


def from_stable_baselines(
    state: Weights, input_shape: tuple[int, ...], discrete: bool, activation: str | None = None
) -> PolicyNetwork:
    """Returns the acting part of a stable-baselines3 policy of PPO, A2C, SAC, TD3, DDPG or DQN.

    Args:
        state: `policy.state_dict()`. The layers' sizes come from the shapes of its tensors.
        input_shape: (D,) or (C, H, W).
        discrete: whether actions are discrete.
        activation: of the hidden layers; None for the default of the kind of policy.

    Raises:
        ValueError: if the weights are of another kind of policy, or do not fit `input_shape`.
    """
    kind = _kind(state)
    renamed = _rename(state, kind)
    if kind in ("td3", "dqn"):
        last = max(int(name.split(".")[1]) for name in renamed if name.startswith("body."))
        renamed = {name.replace(f"body.{last}.", "head."): tensor for name, tensor in renamed.items()}
    outputs = {"sac": "squashed", "td3": "tanh", "dqn": "greedy"}
    output: Any = outputs.get(kind, "categorical" if discrete else "gaussian")
    network = PolicyNetwork(_infer(renamed, input_shape, activation or DEFAULT_ACTIVATIONS[kind], output))
    try:
        network.load_state_dict(renamed)
    except RuntimeError as error:
        raise ValueError(f"its weights do not fit the task: {brief(error, limit=300)}") from error
    return network


def _kind(state: Weights) -> str:
    if any(name.startswith("actor.latent_pi.") or name == "actor.log_std.weight" for name in state):
        if "actor.log_std" in state:
            raise ValueError("it was trained with use_sde=True, which is not supported")
        return "sac"
    marks = {"action_net.weight": "actor_critic", "actor.mu.0.weight": "td3", "q_net.q_net.0.weight": "dqn"}
    for mark, kind in marks.items():
        if mark in state:
            if state.get("log_std", torch.zeros(1)).dim() > 1:
                raise ValueError("it was trained with use_sde=True, which is not supported")
            return kind
    raise ValueError("no policy of PPO, A2C, SAC, TD3, DDPG or DQN")


def _rename(state: Weights, kind: str) -> Weights:
    renamed: Weights = {}
    for name, tensor in state.items():
        for prefix, ours in _PREFIXES[kind].items():
            if name.startswith(prefix):
                renamed.setdefault(ours + name.removeprefix(prefix), tensor)
                break
    return renamed


def _infer(weights: Weights, input_shape: tuple[int, ...], activation: str, output: Any) -> Architecture:
    layers = sorted(int(m[1]) for name in weights if (m := re.fullmatch(r"body\.(\d+)\.weight", name)))
    hidden = tuple(weights[f"body.{index}.weight"].shape[0] for index in layers)
    features: Any = "flat"
    if "features.linear.0.weight" in weights:
        features = "impala" if any(".first." in name for name in weights) else "nature"
    size = weights["features.linear.0.weight"].shape[0] if features != "flat" else 0
    return Architecture(features, input_shape, hidden, activation, output, weights["head.weight"].shape[0], size)
