"""Environments of Python packages behind the `VectorEnv` port, through gymnasium's own vectors."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_dist.envs.spaces import action_spec, first_action, observation_specs, read_observations
from gato_dist.errors import InputError
from gato_dist.ports import TimeStep
from gato_dist.specs import TaskSpec

SUCCESS = ("success", "is_success")


class PythonVector:
    """One gymnasium environment per seed, in this process, or a process each where `threads` > 1.

    make: makes one environment. Success is read from `info["success"]` or `info["is_success"]`, where there is one.
    """

    def __init__(self, make: Callable[[], Any], spec: TaskSpec, seeds: list[int], threads: int = 1) -> None:
        from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

        self.spec, self.seeds = spec, list(seeds)
        kind = AsyncVectorEnv if threads > 1 else SyncVectorEnv
        self._env: Any = kind([make] * len(seeds), autoreset_mode=AutoresetMode.NEXT_STEP)
        self._space = self._env.single_observation_space
        self._first = first_action(self._env.single_action_space)
        self._dtype = self._env.single_action_space.dtype
        self._first_seeds: list[int] | None = self.seeds

    def reset(self) -> TimeStep:
        # Seeded again, a later reset would begin the same worlds once more.
        observation, info = self._env.reset(seed=self._first_seeds)
        self._first_seeds = None
        count = len(self.seeds)
        return self._time_step(observation, np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), info)

    def step(self, actions: np.ndarray) -> TimeStep:
        return self._time_step(*self._env.step(np.asarray(actions).astype(self._dtype) + self._first))

    def render(self, row: int, camera: int = -1) -> np.ndarray:
        """As `pictures.Rendering`; the environment chose its camera when it was made. Raises InputError without one."""
        # Environments in processes of their own are out of reach; gymnasium's base class has a `render` that refuses.
        environments = getattr(self._env, "envs", None)
        try:
            picture = environments[row].render() if environments else None
        except NotImplementedError:
            picture = None
        if picture is None:
            raise InputError(f"{self.spec.name}: has no picture: its environment does not draw as rgb_array")
        return np.asarray(picture)

    def close(self) -> None:
        self._env.close()

    def _time_step(
        self, observation: Any, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict
    ) -> TimeStep:
        success = next((np.asarray(info[name], np.float32) > 0 for name in SUCCESS if name in info), None)
        return TimeStep(
            read_observations(self._space, observation), np.asarray(rewards, np.float32), terminated, truncated,
            success, {},
        )  # fmt: skip


def spec_of(name: str, env: Any) -> TaskSpec:
    """The layout of one gymnasium environment. Raises InputError for spaces that have no tokens."""
    limit = env.spec.max_episode_steps if env.spec else None
    return TaskSpec(name, observation_specs(env.observation_space), action_spec(env.action_space), limit or 0)
