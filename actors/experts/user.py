"""A user's own code as an expert: a function of the observations, or a class of policies."""

import hashlib
import inspect
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info
from gato_dist.specs import TaskSpec
from gato_dist.user_code import find


class CallableExpert:
    """policy: `module:name`, found from where the command runs.

    A function is called with the observations, arrays [N, ...] by name, and returns actions [N, *action shape]. A class
    is made with (spec, seeds) and called likewise; it may have `reset(env_ids)`, told which episodes begin.
    Raises ValueError or ImportError where there is none.
    """

    def __init__(self, spec: TaskSpec, seeds: list[int], policy: str = "") -> None:
        found = find(policy)
        if not callable(found):
            raise ValueError(f"expert_options.policy: {policy} is neither a function nor a class")
        self._spec, self._name = spec, policy
        self._call: Any = found(spec, seeds) if inspect.isclass(found) else found
        self._source = hashlib.sha256(inspect.getsource(found).encode()).hexdigest()[:16]

    def reset(self, env_ids: np.ndarray) -> None:
        if reset := getattr(self._call, "reset", None):
            reset(env_ids)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Raises ValueError where the user's code returns another shape than the task's actions have."""
        actions = np.asarray(self._call(observations))
        wanted = (len(active), *self._spec.action.shape)
        if actions.shape != wanted:
            raise ValueError(f"{self._name}: actions of shape {actions.shape}, {self._spec.name} needs {wanted}")
        return actions

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """The same call: a policy that keeps a state must see every step either way."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": self._name, "kind": "callable", "source": self._source}
