"""Settings of `gato-dist experts train`: keys as in stable-baselines3, defaults by algorithm and suite."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from gato_dist.errors import InputError
from gato_dist.specs import Modality, TaskSpec

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    envs: Positive = Field(8, description="environments stepped together")
    threads: Positive = Field(1, description="threads that step environments")
    torch_threads: Positive = Field(1, description="threads of the networks on a CPU")
    device: str = Field("auto", description="cpu, cuda, …; auto: a GPU if there is one")
    hidden: tuple[Positive, ...] = Field((64, 64), description="widths of the hidden layers after the features")
    frame_stack: Positive | None = Field(None, description="newest observations seen at once; 4 on ALE, else 1")
    normalize: bool = Field(False, description="standardise state by running mean and deviation")
    learning_rate: float = Field(3e-4, gt=0)
    gamma: Share = Field(0.99, description="discount")
    batch_size: Positive = 64
    save_seconds: float = Field(60.0, gt=0, description="time between two checkpoints")


class PPOSettings(_Settings):
    """Settings of PPO (Schulman et al. 2017, arXiv 1707.06347): any action, any observation except text."""

    algorithm: Literal["ppo"] = "ppo"
    activation: Literal["tanh", "relu", "elu", "gelu"] = "tanh"
    n_steps: Positive = Field(256, description="steps of each environment between two updates")
    n_epochs: Positive = 10
    gae_lambda: Share = 0.95
    clip_range: float = Field(0.2, gt=0)
    ent_coef: float = Field(0.0, ge=0)
    vf_coef: float = Field(0.5, ge=0)
    max_grad_norm: float = Field(0.5, gt=0)
    decay: bool = Field(True, description="learning rate falls linearly to 0 with the last step")
    normalize_reward: bool = Field(False, description="divide rewards by the deviation of the discounted return")
    clip_reward: bool = Field(False, description="learn from the rewards' signs")

    @model_validator(mode="after")
    def _batches_divide_steps(self) -> "PPOSettings":
        if self.n_steps * self.envs % self.batch_size:
            raise ValueError(f"batch_size {self.batch_size} does not divide n_steps × envs, {self.n_steps * self.envs}")
        return self


class SACSettings(_Settings):
    """Settings of SAC (Haarnoja et al. 2018, arXiv 1801.01290): continuous, bounded actions."""

    algorithm: Literal["sac"] = "sac"
    activation: Literal["tanh", "relu", "elu", "gelu"] = "relu"
    buffer_size: Positive = 1_000_000
    learning_starts: Positive = Field(2_000, description="steps before the first update, taken at random")
    train_freq: Positive = Field(1, description="steps of each environment between two rounds of updates")
    gradient_steps: Positive = Field(1, description="updates in a round")
    tau: float = Field(0.005, gt=0, le=1)
    ent_coef: float | Literal["auto"] = Field("auto", description="auto: learned")


Settings = PPOSettings | SACSettings
_SETTINGS_BY_ALGORITHM: dict[str, type[PPOSettings] | type[SACSettings]] = {"ppo": PPOSettings, "sac": SACSettings}


def make_settings(spec: TaskSpec, family: str, given: dict[str, Any]) -> Settings:
    """Returns the settings of a training.

    Args:
        spec: the task's observations and actions.
        family: the task's family of suites, which decides the defaults.
        given: settings that override the defaults.

    Raises:
        InputError: if a setting is unknown or wrong. The message names it.
    """
    continuous = spec.action.modality is Modality.CONTINUOUS
    pixels = any(part.modality is Modality.IMAGE for part in spec.observations)
    algorithm = given.get("algorithm", "sac" if continuous and not pixels else "ppo")
    if algorithm not in _SETTINGS_BY_ALGORITHM:
        raise InputError(f"algorithm: {algorithm!r} is unknown; there is {', '.join(_SETTINGS_BY_ALGORITHM)}")
    if continuous and not all(abs(bound) < 1e6 for bound in spec.action.low + spec.action.high):
        raise InputError(f"{spec.name}: its actions have no bounds, which training needs")
    if algorithm == "sac" and (pixels or not continuous):
        raise InputError(f"algorithm: sac needs continuous actions and state; use ppo for {spec.name}")
    kind = _SETTINGS_BY_ALGORITHM[algorithm]
    try:
        return kind.model_validate(_defaults(algorithm, family, continuous) | given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"no such key of {algorithm}; there is {', '.join(sorted(kind.model_fields))}"
        raise InputError(f"{key + ': ' if key else ''}{message}") from error


def default_steps(settings: Settings, family: str) -> int:
    """Returns the default number of environment steps: that of a published run, if there is one."""
    by_family = {"ale": 10_000_000, "procgen": 25_000_000}
    return by_family.get(family, 1_000_000 if settings.algorithm == "ppo" else 200_000)


def _defaults(algorithm: str, family: str, continuous: bool) -> dict[str, Any]:
    """Returns settings of published runs: stable-baselines3's zoo for ALE and MuJoCo, Cobbe et al. 2020 for Procgen."""
    if algorithm == "sac":
        return {"envs": 1, "hidden": (256, 256), "batch_size": 256}
    if family == "ale":
        return {
            "n_steps": 128, "batch_size": 256, "n_epochs": 4, "learning_rate": 2.5e-4, "clip_range": 0.1,
            "ent_coef": 0.01, "hidden": (), "clip_reward": True,
        }  # fmt: skip
    if family == "procgen":
        return {
            "envs": 64, "batch_size": 2048, "n_epochs": 3, "learning_rate": 5e-4, "gamma": 0.999, "ent_coef": 0.01,
            "hidden": (), "normalize_reward": True, "decay": False,
        }  # fmt: skip
    return {"normalize": continuous, "normalize_reward": continuous}
