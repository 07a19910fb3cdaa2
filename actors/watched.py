"""Environments that call back after every step."""

from collections.abc import Callable

import numpy as np

from gato_dist.ports import TimeStep, VectorEnv


class Watched:
    """A `VectorEnv` around another one. Its callback shows that a long evaluation is alive."""

    def __init__(self, env: VectorEnv, stepped: Callable[[], None]) -> None:
        """Wraps environments.

        Args:
            env: the environments.
            stepped: called after every reset and step.
        """
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
