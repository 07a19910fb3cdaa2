"""The random policy that every score is measured from."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info
from gato_dist.specs import ActionSpec, Modality


class RandomPolicy:
    """Uniform over the task's actions, one generator per environment."""

    def __init__(self, action: ActionSpec, seeds: list[int]) -> None:
        self._action = action
        self._generators = [np.random.default_rng(seed) for seed in seeds]

    def reset(self, env_ids: np.ndarray) -> None:
        """Random policies keep no state but their generators."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """[N, *action shape]."""
        action = self._action
        if action.modality is Modality.DISCRETE:
            values = np.reshape(action.num_values, action.shape)
            return np.stack([g.integers(values) for g in self._generators])
        low, high = np.reshape(action.low, action.shape), np.reshape(action.high, action.shape)
        return np.stack([g.uniform(low, high) for g in self._generators]).astype(np.float32)

    def describe(self) -> dict[str, Any]:
        return {"name": "uniform", "kind": "random"}
