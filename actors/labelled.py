"""A policy that acts while an expert says what it would have done."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Labeller, Policy


class LabelledPolicy:
    """Does what `actor` does; `targets` [N, ...] are the expert's actions for the same observations.

    labeller: a `Policy` too, in the environments that it was made with.
    """

    def __init__(self, actor: Policy, labeller: Labeller) -> None:
        self._actor, self._labeller = actor, labeller
        self._told = getattr(labeller, "played", None)
        self.targets = np.zeros(0)

    def reset(self, env_ids: np.ndarray) -> None:
        self._actor.reset(env_ids)
        self._labeller.reset(env_ids)  # type: ignore[attr-defined]

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        actions = self._actor.act(observations, info, active)
        self.targets = self._labeller.label(observations)
        if self._told is not None:
            self._told(actions)
        return actions

    def describe(self) -> dict[str, Any]:
        return self._actor.describe()
