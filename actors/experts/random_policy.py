"""The random policy that every score is measured from."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy
from gato_dist.specs import ActionSpec, Modality
from gato_dist.tokens.values import UNBOUNDED


class RandomPolicy(Policy):
    """What gymnasium's spaces sample of the task's actions, one generator per environment.

    Uniform between two bounds; the exponential distribution from a single bound on, and the normal one without any.
    """

    def __init__(self, action: ActionSpec, seeds: list[int]) -> None:
        self._action = action
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        if action.modality is Modality.CONTINUOUS:
            low, high = (np.reshape(bound, action.shape).astype(np.float64) for bound in (action.low, action.high))
            self._above, self._below = low > -UNBOUNDED, high < UNBOUNDED  # where there is a bound
            self._low, self._high = np.where(self._above, low, 0.0), np.where(self._below, high, 0.0)

    def reset(self, env_ids: np.ndarray) -> None:
        """Random policies keep no state but their generators."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """[N, *action shape]."""
        action = self._action
        if action.modality is Modality.DISCRETE:
            values = np.reshape(action.num_values, action.shape)
            return np.stack([g.integers(values) for g in self._generators])
        return np.stack([self._sample(g) for g in self._generators]).astype(np.float32)

    def _sample(self, generator: np.random.Generator) -> np.ndarray:
        both = self._above & self._below
        uniform = generator.uniform(np.where(both, self._low, 0.0), np.where(both, self._high, 0.0))
        if both.all():
            return uniform
        normal = generator.normal(size=both.shape)
        far = generator.exponential(size=both.shape)
        return np.select([both, self._above, self._below], [uniform, self._low + far, self._high - far], normal)

    def describe(self) -> dict[str, Any]:
        return {"name": "uniform", "kind": "random"}
