"""The random policy, whose score is the zero of the expert-score fraction."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Array, Info, Policy
from gato_dist.specs import ActionSpec, Modality
from gato_dist.tokens.values import UNBOUNDED


class RandomPolicy(Policy):
    """Samples actions as gymnasium's spaces do, with one generator per environment.

    Discrete actions are uniform. A continuous action is uniform if it has two bounds, exponentially distributed from a
    single bound on, and normal without bounds.

    Args:
        action: the task's actions.
        seeds: one per environment.
    """

    def __init__(self, action: ActionSpec, seeds: list[int]) -> None:
        self._action = action
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        if action.modality is Modality.CONTINUOUS:
            low, high = (np.reshape(bound, action.shape).astype(np.float64) for bound in (action.low, action.high))
            self._has_low, self._has_high = low > -UNBOUNDED, high < UNBOUNDED
            self._low, self._high = np.where(self._has_low, low, 0.0), np.where(self._has_high, high, 0.0)

    def reset(self, env_ids: Array) -> None:
        """Does nothing: the generators are the only state."""

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns random actions, [N, *action shape]: integers, or float32."""
        action = self._action
        if action.modality is Modality.DISCRETE:
            values = np.reshape(action.num_values, action.shape)
            return np.stack([generator.integers(values) for generator in self._generators])
        return np.stack([self._sample(generator) for generator in self._generators]).astype(np.float32)

    def _sample(self, generator: np.random.Generator) -> Array:
        bounded = self._has_low & self._has_high
        uniform: Array = generator.uniform(np.where(bounded, self._low, 0.0), np.where(bounded, self._high, 0.0))
        if bounded.all():
            return uniform
        normal = generator.normal(size=bounded.shape)
        distance = generator.exponential(size=bounded.shape)
        conditions = [bounded, self._has_low, self._has_high]
        return np.select(conditions, [uniform, self._low + distance, self._high - distance], normal)

    def describe(self) -> dict[str, Any]:
        return {"name": "uniform", "kind": "random"}
