"""Makes stable-baselines3's algorithms and the environments that they learn in, new or as a training left them."""

from typing import Any

import torch
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor

from actors.experts.rl.networks import ACTIVATIONS, ImpalaFeatures
from actors.experts.rl.preprocess import RunningStatistics, default_preprocessing, preprocessed_shape
from actors.experts.rl.sb3_env import ExpertVecEnv, make_restartable
from actors.experts.rl.training_job import TrainingJob
from gato_dist.envs.registry import task_spec
from gato_dist.seeds import expert_seeds
from gato_dist.specs import Modality
from gato_dist.tasks import task_entry


class ImpalaExtractor(BaseFeaturesExtractor):
    """`ImpalaFeatures` as a features extractor of stable-baselines3."""

    def __init__(self, observation_space: Any, features_dim: int = 256) -> None:
        super().__init__(observation_space, features_dim)
        self.trunk = ImpalaFeatures(observation_space.shape, features_dim)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.trunk(observations)
        return features


class ResumableSAC(SAC):
    """SAC that fills its replay buffer with its own policy, and not with random actions, when it is resumed.

    Attributes:
        random_steps: environment steps, over all starts, for which actions are random.
    """

    random_steps = 0

    def _sample_action(self, learning_starts: int, *args: Any, **kwargs: Any) -> Any:
        return super()._sample_action(self.random_steps, *args, **kwargs)


def make_training(job: TrainingJob, saved: dict[str, Any]) -> tuple[ExpertVecEnv, BaseAlgorithm]:
    """Makes environments and algorithm of a training.

    Args:
        job: what to train.
        saved: the state to resume, as `training_files.read_training` returns it; {} to begin.
    """
    env = _make_env(job, saved)
    try:
        model = _make_ppo(job, env) if job.settings.algorithm == "ppo" else _make_sac(job, env)
    except BaseException:
        env.close()
        raise
    if saved:
        _restore(model, saved)
    return env, model


def _make_env(job: TrainingJob, saved: dict[str, Any]) -> ExpertVecEnv:
    spec, settings = task_spec(job.task), job.settings
    preprocessing = default_preprocessing(spec, settings.frame_stack, settings.normalize)
    # Each start of a training gets levels that no earlier start has used.
    seeds = expert_seeds(job.seed, saved.get("starts", 0), settings.envs)
    size = preprocessed_shape(spec, preprocessing)[0] // preprocessing.stack
    scale_rewards = settings.algorithm == "ppo" and settings.normalize_reward
    return ExpertVecEnv(
        make_restartable(job.task, seeds, settings.threads),
        preprocessing,
        statistics=_statistics(saved, "moments", size) if preprocessing.clip else None,
        reward_statistics=_statistics(saved, "reward_moments", 1) if scale_rewards else None,
        gamma=settings.gamma,
        clip_reward=settings.algorithm == "ppo" and settings.clip_reward,
    )


def _statistics(saved: dict[str, Any], name: str, size: int) -> RunningStatistics:
    if name not in saved:
        return RunningStatistics.of_size(size)
    return RunningStatistics(saved[name]["mean"].numpy(), saved[name]["variance"].numpy(), saved[name]["count"])


def _restore(model: BaseAlgorithm, saved: dict[str, Any]) -> None:
    model.set_parameters(saved["parameters"], device=model.device)
    for name, tensor in saved["variables"].items():
        getattr(model, name).data.copy_(tensor)
    model.num_timesteps = saved["steps"]
    if isinstance(model, ResumableSAC):
        model.learning_starts += saved["steps"]


def _make_ppo(job: TrainingJob, env: ExpertVecEnv) -> PPO:
    s: Any = job.settings
    rate = s.learning_rate
    images = len(env.observation_space.shape or ()) == 3
    # Small networks on state run faster next to their environments than on a GPU.
    device = "cpu" if s.device == "auto" and not images else s.device
    return PPO(
        "CnnPolicy" if images else "MlpPolicy", env,
        learning_rate=(lambda left: rate * left) if s.decay else rate,
        n_steps=s.n_steps, batch_size=s.batch_size, n_epochs=s.n_epochs, gamma=s.gamma, gae_lambda=s.gae_lambda,
        clip_range=s.clip_range, ent_coef=s.ent_coef, vf_coef=s.vf_coef, max_grad_norm=s.max_grad_norm,
        policy_kwargs=_policy_kwargs(job), seed=job.seed, device=device,
    )  # fmt: skip


def _make_sac(job: TrainingJob, env: ExpertVecEnv) -> ResumableSAC:
    s: Any = job.settings
    model = ResumableSAC(
        "MlpPolicy", env, learning_rate=s.learning_rate, buffer_size=min(s.buffer_size, job.steps),
        learning_starts=s.learning_starts, batch_size=s.batch_size, tau=s.tau, gamma=s.gamma, train_freq=s.train_freq,
        gradient_steps=s.gradient_steps, ent_coef=s.ent_coef, policy_kwargs=_policy_kwargs(job), seed=job.seed,
        device=s.device,
    )  # fmt: skip
    model.random_steps = s.learning_starts
    return model


def _policy_kwargs(job: TrainingJob) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "net_arch": list(job.settings.hidden), "activation_fn": ACTIVATIONS[job.settings.activation]
    }  # fmt: skip
    pixels = any(part.modality is Modality.IMAGE for part in task_spec(job.task).observations)
    # Procgen's levels need a deeper network than stable-baselines3's default for images.
    if pixels and task_entry(job.task).family == "procgen":
        arguments["features_extractor_class"] = ImpalaExtractor
    return arguments
