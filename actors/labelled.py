"""A policy that acts while an expert says what it would have done."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Labeller, Policy


class LabelFailed(RuntimeError):
    """The expert raised an error when it was asked what it would do."""


class LabelledPolicy:
    """Does what `actor` does; `targets` [N, ...] are the expert's actions for the same observations.

    labeller: a `Policy` too, in the environments that it was made with. led: environments in which the expert itself
    acts, bool [N]; none of them where not given. Raises LabelFailed where the expert raises anything.
    """

    def __init__(self, actor: Policy, labeller: Labeller, led: np.ndarray | None = None) -> None:
        self._actor, self._labeller, self._led = actor, labeller, led
        self._told = getattr(labeller, "played", None)
        self.targets = np.zeros(0)

    def reset(self, env_ids: np.ndarray) -> None:
        self._actor.reset(env_ids)
        self._labeller.reset(env_ids)  # type: ignore[attr-defined]

    @property
    def lost(self) -> np.ndarray | bool:
        """Where the expert has had nothing to say since the last reset: bool [N], or False where it always has."""
        return getattr(self._labeller, "lost", False)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        try:
            self.targets = self._labeller.label(observations, active)
        except Exception as error:
            raise LabelFailed(f"{type(error).__name__}: {error}") from error
        if self._led is None:
            actions = self._actor.act(observations, info, active)
        else:
            actions = self._actor.act(observations, info, active & ~self._led).astype(self.targets.dtype)
            actions[self._led] = self.targets[self._led]
        if self._told is not None:
            self._told(actions)
        return actions

    def describe(self) -> dict[str, Any]:
        return self._actor.describe()
