"""Lets an expert that needs the environment's state act in tasks whose observations are frames."""

from typing import Any

from gato_dist.episode import Observations
from gato_dist.ports import Array, Info, Policy


class StateExpert(Policy):
    """Passes the state, which the environment keeps in its info, to an expert in place of the frame.

    Episodes record the frame, so that Gato learns from the frame.

    Args:
        expert: a policy over the state.
        parts: the names of its observations in the info.
    """

    def __init__(self, expert: Policy, parts: list[str]) -> None:
        self._expert, self._parts = expert, parts

    def reset(self, env_ids: Array) -> None:
        self._expert.reset(env_ids)

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns the expert's actions, [N, *action shape]."""
        return self._expert.act({name: info[name] for name in self._parts}, info, active)

    def describe(self) -> dict[str, Any]:
        return self._expert.describe()
