"""Trains an expert with stable-baselines3: PPO or SAC on this project's environments."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from actors.experts.rl.training_job import TrainingJob
from gato_dist.errors import InputError

try:
    from stable_baselines3.common.callbacks import BaseCallback

    from actors.experts.rl.algorithms import make_training
    from actors.experts.rl.sb3_env import ExpertVecEnv
    from actors.experts.rl.training_files import read_training, save_training
except ImportError as error:
    raise InputError(f"training experts needs stable-baselines3: pip install 'gato-dist[experts]' ({error})") from error

REPORT_SECONDS = 1.0
# The reported rate covers this many reports: SAC's first steps have no updates and are far faster than the later ones.
RATE_REPORTS = 20


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """How far a training is.

    Attributes:
        steps: environment steps so far.
        total: environment steps at the end.
        steps_per_second: over the last few seconds.
        mean_return: of the last episodes, in the task's own rewards; None before the first episode ended.
        episodes: episodes so far.
    """

    steps: int
    total: int
    steps_per_second: float
    mean_return: float | None
    episodes: int

    @property
    def seconds_left(self) -> float:
        """The expected remaining time at the present rate."""
        return (self.total - self.steps) / max(self.steps_per_second, 1e-9)


Report = Callable[[TrainingProgress], None]


def train_expert(job: TrainingJob, resume: bool, report: Report) -> int:
    """Trains an expert and writes its policy into the job's folder.

    If the training is interrupted, it is saved and KeyboardInterrupt is raised again.

    Args:
        job: what to train.
        resume: whether to continue the training in the job's folder, with its weights, optimizers, counters and
            running statistics. SAC's replay buffer is filled again.
        report: gets the progress once per second.

    Returns:
        The environment steps taken, earlier starts included.

    Raises:
        InputError: if there is nothing to resume.
        RuntimeError: if the training diverged.
    """
    torch.set_num_threads(job.settings.torch_threads)
    saved = read_training(job.folder) if resume else {}
    env, model = make_training(job, saved)
    job.folder.mkdir(parents=True, exist_ok=True)
    starts = saved.get("starts", 0) + 1
    callback = _ReportAndSave(job, env, report, starts)
    try:
        if model.num_timesteps < job.steps:
            model.learn(job.steps - model.num_timesteps, callback, reset_num_timesteps=not resume)
        save_training(job, model, env, starts)
    except KeyboardInterrupt:
        save_training(job, model, env, starts)
        raise
    except ValueError as error:
        # torch's distributions raise it if their parameters are no longer finite.
        raise RuntimeError(f"{job.task}: training diverged ({' '.join(str(error).split())[:200]})") from error
    finally:
        env.close()
    return model.num_timesteps


class _ReportAndSave(BaseCallback):
    """Reports every second and saves every `save_seconds`."""

    def __init__(self, job: TrainingJob, env: ExpertVecEnv, report: Report, starts: int) -> None:
        super().__init__()
        self._job, self._env, self._report, self._starts = job, env, report, starts

    def _on_training_start(self) -> None:
        self._saved_at = time.monotonic()
        self._reports = deque([(self._saved_at, self.num_timesteps)], maxlen=RATE_REPORTS)

    def _on_step(self) -> bool:
        now = time.monotonic()
        if now - self._reports[-1][0] >= REPORT_SECONDS:
            self._report(self._progress(now))
        if now - self._saved_at >= self._job.settings.save_seconds:
            self._saved_at = now
            save_training(self._job, self.model, self._env, self._starts)
        return True

    def _progress(self, now: float) -> TrainingProgress:
        began, first = self._reports[0]
        self._reports.append((now, self.num_timesteps))
        returns = [episode_return for episode_return, _ in self._env.recent]
        return TrainingProgress(
            steps=self.num_timesteps,
            total=self._job.steps,
            steps_per_second=(self.num_timesteps - first) / (now - began),
            mean_return=float(np.mean(returns)) if returns else None,
            episodes=self._env.episodes,
        )
