"""An expert of the state that demonstrates in front of a camera."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy


class StateExpert(Policy):
    """Hands `expert` the parts of the state that the environment keeps in its info, in place of the frame.

    parts: the names that its observations have. What is recorded, and learned from, is the frame.
    """

    def __init__(self, expert: Policy, parts: list[str]) -> None:
        self._expert, self._parts = expert, parts

    def reset(self, env_ids: np.ndarray) -> None:
        self._expert.reset(env_ids)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """[N, *action shape]."""
        return self._expert.act({name: info[name] for name in self._parts}, info, active)

    def describe(self) -> dict[str, Any]:
        return self._expert.describe()
