"""Trains an expert with stable-baselines3: PPO or SAC on this project's environments."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save as serialise

from actors.experts.rl.networks import ACTIVATIONS, ImpalaFeatures, PolicyNetwork, from_stable_baselines
from actors.experts.rl.policy_files import POLICY
from actors.experts.rl.preprocess import Preprocessing, RunningStatistics, default_preprocessing, preprocessed_shape
from actors.experts.rl.train_settings import Settings
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.seeds import expert_seeds
from gato_dist.specs import Modality, TaskSpec
from gato_dist.tasks import task_entry
from gato_dist.utils.typed_json import to_json

try:
    from stable_baselines3 import PPO, SAC
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

    from actors.experts.rl.sb3_env import ExpertVecEnv, make_restartable
except ImportError as error:
    raise InputError(f"training experts needs stable-baselines3: pip install 'gato-dist[experts]' ({error})") from error

STATE = "training.pt"
REPORT_SECONDS = 1.0
RATE_REPORTS = 20  # the rate is that of the newest seconds: SAC's first steps, without updates, are far faster
VERSIONED = ("stable-baselines3", "torch", "envpool", "gymnasium", "numpy")


@dataclass(frozen=True)
class TrainingJob:
    """One training: a task, its settings, and the environment steps after which it ends."""

    task: str
    settings: Settings
    steps: int
    seed: int
    folder: Path


@dataclass(frozen=True)
class TrainingProgress:
    """steps_per_second: lately; mean_return: of the newest episodes in the task's own rewards, None before any."""

    steps: int
    total: int
    steps_per_second: float
    mean_return: float | None
    episodes: int

    @property
    def seconds_left(self) -> float:
        return (self.total - self.steps) / max(self.steps_per_second, 1e-9)


Report = Callable[[TrainingProgress], None]


def train_expert(job: TrainingJob, resume: bool, report: Report) -> int:
    """Trains to `job.steps` and writes the policy into the job's folder. Returns the steps taken, over all starts.

    Resuming takes up weights, optimizers, counters and running moments; SAC's replay buffer is gathered anew.
    Interrupted, it saves and raises KeyboardInterrupt. Raises InputError where there is nothing to resume.
    """
    torch.set_num_threads(job.settings.torch_threads)
    state = _read_state(job.folder) if resume else {}
    env, model = _make(job, state)
    job.folder.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(job, env, report, state.get("starts", 0) + 1)
    try:
        if model.num_timesteps < job.steps:
            model.learn(job.steps - model.num_timesteps, keeper, reset_num_timesteps=not resume)
        save(job, model, env, keeper.starts)
    except KeyboardInterrupt:
        save(job, model, env, keeper.starts)
        raise
    except ValueError as error:
        # What torch's distributions say of parameters that are no numbers any more.
        raise RuntimeError(f"{job.task}: training diverged ({' '.join(str(error).split())[:200]})") from error
    finally:
        env.close()
    return model.num_timesteps


class _Keeper(BaseCallback):
    """Reports every second and saves every `save_seconds`."""

    def __init__(self, job: TrainingJob, env: ExpertVecEnv, report: Report, starts: int) -> None:
        super().__init__()
        self._job, self._env, self._report, self.starts = job, env, report, starts

    def _on_training_start(self) -> None:
        self._saved = time.monotonic()
        self._newest = deque([(self._saved, self.num_timesteps)], maxlen=RATE_REPORTS)

    def _on_step(self) -> bool:
        now = time.monotonic()
        if now - self._newest[-1][0] >= REPORT_SECONDS:
            began, first = self._newest[0]
            self._newest.append((now, self.num_timesteps))
            rate = (self.num_timesteps - first) / (now - began)
            mean = float(np.mean([each[0] for each in self._env.recent])) if self._env.recent else None
            self._report(TrainingProgress(self.num_timesteps, self._job.steps, rate, mean, self._env.episodes))
        if now - self._saved >= self._job.settings.save_seconds:
            self._saved = now
            save(self._job, self.model, self._env, self.starts)
        return True


class ImpalaExtractor(BaseFeaturesExtractor):
    """Our residual network where stable-baselines3 looks for one."""

    def __init__(self, observation_space: Any, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        self.trunk = ImpalaFeatures(observation_space.shape, features_dim)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        return self.trunk(observations)


class _SAC(SAC):
    """SAC that, resumed, refills its replay buffer with its own policy and not with random actions."""

    random_steps = 0

    def _sample_action(self, learning_starts: int, *args: Any, **kwargs: Any) -> Any:
        return super()._sample_action(self.random_steps, *args, **kwargs)


def preprocessing_of(spec: TaskSpec, settings: Settings) -> Preprocessing:
    return default_preprocessing(spec, settings.frame_stack, settings.normalize)


def _make(job: TrainingJob, state: dict[str, Any]) -> tuple[ExpertVecEnv, BaseAlgorithm]:
    """Environments and algorithm, as `state` left them where there is one."""
    spec, settings = task_spec(job.task), job.settings
    rule = preprocessing_of(spec, settings)
    # Worlds that an earlier start of the same training has not played.
    seeds = expert_seeds(job.seed, state.get("starts", 0), settings.envs)
    size = preprocessed_shape(spec, rule)[0] // rule.stack
    scaled = settings.algorithm == "ppo" and settings.normalize_reward
    env = ExpertVecEnv(
        make_restartable(job.task, seeds, settings.threads),
        rule,
        _moments(state, "moments", size) if rule.clip else None,
        _moments(state, "reward_moments", 1) if scaled else None,
        settings.gamma,
        settings.algorithm == "ppo" and settings.clip_reward,
    )
    try:
        model = _ppo(job, env) if settings.algorithm == "ppo" else _sac(job, env)
    except BaseException:
        env.close()
        raise
    if state:
        model.set_parameters(state["parameters"], device=model.device)
        for name, tensor in state["variables"].items():
            getattr(model, name).data.copy_(tensor)
        model.num_timesteps = state["steps"]
        if isinstance(model, _SAC):
            model.learning_starts += state["steps"]
    return env, model


def _ppo(job: TrainingJob, env: ExpertVecEnv) -> PPO:
    s: Any = job.settings
    rate = s.learning_rate
    images = len(env.observation_space.shape or ()) == 3
    # Small networks on state run faster beside their environments than across a bus.
    device = "cpu" if s.device == "auto" and not images else s.device
    return PPO(
        "CnnPolicy" if images else "MlpPolicy", env,
        learning_rate=(lambda left: rate * left) if s.decay else rate,
        n_steps=s.n_steps, batch_size=s.batch_size, n_epochs=s.n_epochs, gamma=s.gamma, gae_lambda=s.gae_lambda,
        clip_range=s.clip_range, ent_coef=s.ent_coef, vf_coef=s.vf_coef, max_grad_norm=s.max_grad_norm,
        policy_kwargs=_policy_kwargs(job), seed=job.seed, device=device,
    )  # fmt: skip


def _sac(job: TrainingJob, env: ExpertVecEnv) -> _SAC:
    s: Any = job.settings
    model = _SAC(
        "MlpPolicy", env, learning_rate=s.learning_rate, buffer_size=min(s.buffer_size, job.steps),
        learning_starts=s.learning_starts, batch_size=s.batch_size, tau=s.tau, gamma=s.gamma, train_freq=s.train_freq,
        gradient_steps=s.gradient_steps, ent_coef=s.ent_coef, policy_kwargs=_policy_kwargs(job), seed=job.seed,
        device=s.device,
    )  # fmt: skip
    model.random_steps = s.learning_starts
    return model


def _policy_kwargs(job: TrainingJob) -> dict[str, Any]:
    made: dict[str, Any] = {
        "net_arch": list(job.settings.hidden), "activation_fn": ACTIVATIONS[job.settings.activation]
    }  # fmt: skip
    pixels = any(part.modality is Modality.IMAGE for part in task_spec(job.task).observations)
    # NatureCNN is stable-baselines3's own choice for images; Procgen's levels want the deeper network.
    if pixels and task_entry(job.task).family == "procgen":
        made["features_extractor_class"] = ImpalaExtractor
    return made


def _moments(state: dict[str, Any], name: str, size: int) -> RunningStatistics:
    if name not in state:
        return RunningStatistics.of_size(size)
    return RunningStatistics(state[name]["mean"].numpy(), state[name]["variance"].numpy(), state[name]["count"])


def save(job: TrainingJob, model: BaseAlgorithm, env: ExpertVecEnv, starts: int) -> None:
    """Writes what acts (policy.safetensors and .json) and what resumes (training.pt, tensors and plain numbers)."""
    network = acting_network(job, model)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    state: dict[str, Any] = {
        "parameters": model.get_parameters(), "variables": {}, "steps": model.num_timesteps, "starts": starts
    }  # fmt: skip
    if isinstance(model, _SAC) and model.log_ent_coef is not None:
        state["variables"]["log_ent_coef"] = model.log_ent_coef.detach()
    for name in ("moments", "reward_moments"):
        if kept := getattr(env, name):
            mean, variance = torch.from_numpy(kept.mean.copy()), torch.from_numpy(kept.variance.copy())
            state[name] = {"mean": mean, "variance": variance, "count": float(kept.count)}
    if env.moments is not None:
        tensors |= {"moments.mean": state["moments"]["mean"], "moments.variance": state["moments"]["variance"]}
    _replace(job.folder / POLICY, lambda path: path.write_bytes(serialise(tensors)))
    manifest = to_json(describe(job, model, network), indent=1)
    _replace(job.folder / "policy.json", lambda path: path.write_text(manifest, "utf-8"))
    _replace(job.folder / STATE, lambda path: torch.save(state, path))


def acting_network(job: TrainingJob, model: BaseAlgorithm) -> PolicyNetwork:
    """The part of the model that chooses actions, on the CPU, without stable-baselines3."""
    spec = task_spec(job.task)
    shape = preprocessed_shape(spec, preprocessing_of(spec, job.settings))
    weights = {name: tensor.cpu() for name, tensor in model.policy.state_dict().items()}
    discrete = spec.action.modality is Modality.DISCRETE
    return from_stable_baselines(weights, shape, discrete, job.settings.activation)


def describe(job: TrainingJob, model: BaseAlgorithm, network: PolicyNetwork) -> dict[str, Any]:
    """policy.json: what the weights are and how they came about."""
    return {
        "task": job.task,
        "architecture": network.architecture.to_dict(),
        "preprocessing": preprocessing_of(task_spec(job.task), job.settings).to_dict(),
        "algorithm": job.settings.algorithm,
        "hyperparameters": job.settings.model_dump(mode="json"),
        "steps": model.num_timesteps,
        "total_steps": job.steps,
        "seed": job.seed,
        "versions": {name: version(name) for name in VERSIONED},
    }


def _read_state(folder: Path) -> dict[str, Any]:
    try:
        return torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{folder / STATE}: cannot be resumed ({' '.join(str(error).split())[:200]})") from error


def _replace(path: Path, write: Callable[[Path], Any]) -> None:
    """A file with its final name is whole."""
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.rename(path)
