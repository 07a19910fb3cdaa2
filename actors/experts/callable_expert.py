"""A user's own code as an expert: a function of the observations, or a class of policies."""

import hashlib
import inspect
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Info, Policy
from gato_dist.specs import Modality, TaskSpec
from gato_dist.utils.import_object import find


class CallableExpert(Policy):
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
        """Floats, or integers if the task's actions are choices, whatever kind of numbers the user's code returns.

        Raises:
            InputError: if they are no numbers, not whole where they are choices, or of another shape.
        """
        action, task = self._spec.action, self._spec.name
        actions = np.asarray(self._call(observations))
        wanted = (len(active), *action.shape)
        if actions.shape != wanted:
            raise InputError(f"{task}, {self._name}: actions of shape {actions.shape}, the task needs {wanted}")
        if actions.dtype.kind not in "biuf":
            raise InputError(f"{task}, {self._name}: actions of type {actions.dtype}, the task needs numbers")
        if action.modality is Modality.CONTINUOUS:
            return actions if actions.dtype.kind == "f" else actions.astype(np.float32)
        if actions.dtype.kind == "f" and not (actions == np.floor(actions)).all():
            raise InputError(f"{task}, {self._name}: actions with fractions, the task's are choices")
        return actions.astype(np.int64)

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """The same call: a policy that keeps a state must see every step either way."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": self._name, "kind": "callable", "source": self._source}
