"""Environments that tell whenever they have made a step."""

from collections.abc import Callable

import numpy as np

from gato_dist.ports import TimeStep, VectorEnv


class Watched:
    """The `VectorEnv` port over another one."""

    def __init__(self, env: VectorEnv, stepped: Callable[[], None]) -> None:
        """stepped: called after every reset and step."""
        self.spec, self.seeds = env.spec, env.seeds
        self._env, self._stepped = env, stepped

    def reset(self) -> TimeStep:
        now = self._env.reset()
        self._stepped()
        return now

    def step(self, actions: np.ndarray) -> TimeStep:
        now = self._env.step(actions)
        self._stepped()
        return now

    def close(self) -> None:
        self._env.close()
