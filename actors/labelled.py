"""A policy that acts while an expert labels every observation with its own action."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy


class LabelFailed(RuntimeError):
    """The expert raised an error when it was asked for a label."""


class LabelledPolicy(Policy):
    """Acts as `actor` does; the targets are the expert's actions for the same observations."""

    def __init__(self, actor: Policy, labeller: Policy, expert_acts: np.ndarray | None = None) -> None:
        """Combines two policies.

        Args:
            actor: decides the actions.
            labeller: the expert, in the environments that it was made with.
            expert_acts: bool [N]: environments in which the expert acts itself; None for no environment.
        """
        self._actor, self._labeller, self._expert_acts = actor, labeller, expert_acts
        self._labels = np.zeros(0)

    def reset(self, env_ids: np.ndarray) -> None:
        self._actor.reset(env_ids)
        self._labeller.reset(env_ids)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Labels the observations and acts.

        Raises:
            LabelFailed: if the expert raises any error.
        """
        try:
            self._labels = self._labeller.label(observations, active)
        except Exception as error:
            raise LabelFailed(f"{type(error).__name__}: {error}") from error
        if self._expert_acts is None:
            actions = self._actor.act(observations, info, active)
        else:
            expert_acts = self._expert_acts
            actions = self._actor.act(observations, info, active & ~expert_acts).astype(self._labels.dtype)
            actions[expert_acts] = self._labels[expert_acts]
        self._labeller.played(actions)
        return actions

    def targets(self, actions: np.ndarray) -> np.ndarray:
        return self._labels

    def lost(self) -> np.ndarray | bool:
        """Returns in which environments the expert has had no label since the last reset: bool [N], or False."""
        return self._labeller.lost()

    def describe(self) -> dict[str, Any]:
        return self._actor.describe()
