"""The user's own code as an expert: a function of the observations, or a class."""

import hashlib
import inspect
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Array, Info, Policy
from gato_dist.specs import Modality, TaskSpec
from gato_dist.utils.import_object import import_object


class CallableExpert(Policy):
    """Calls a function or an object of the user's code for every step.

    A function gets the observations, arrays [N, ...] by name, and returns actions [N, *action shape]. A class is
    instantiated with `(spec, seeds)`, and the instance is called like a function. If the class defines
    `reset(env_ids)`, this is called when episodes begin.
    """

    def __init__(self, spec: TaskSpec, seeds: list[int], policy: str = "") -> None:
        """Loads the user's code.

        Args:
            spec: the task's observations and actions.
            seeds: one per environment.
            policy: `module:name`. The module is also searched in the working directory.

        Raises:
            ImportError: if the module cannot be imported.
            ValueError: if there is no such function or class.
        """
        found = import_object(policy)
        if not callable(found):
            raise ValueError(f"expert_options.policy: {policy} is neither a function nor a class")
        self._spec, self._name = spec, policy
        self._call: Any = found(spec, seeds) if inspect.isclass(found) else found
        self._source = hashlib.sha256(inspect.getsource(found).encode()).hexdigest()[:16]

    def reset(self, env_ids: Array) -> None:
        if reset := getattr(self._call, "reset", None):  # optional in the user's code
            reset(env_ids)

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns the user's actions, [N, *action shape]: floats, or int64 if the task's actions are choices.

        Raises:
            InputError: if the actions are not numbers, have another shape, or are fractions instead of choices.
        """
        action, task = self._spec.action, self._spec.name
        actions = np.asarray(self._call(observations))
        expected = (len(active), *action.shape)
        if actions.shape != expected:
            raise InputError(f"{task}, {self._name}: actions of shape {actions.shape}, the task needs {expected}")
        if actions.dtype.kind not in "biuf":
            raise InputError(f"{task}, {self._name}: actions of type {actions.dtype}, the task needs numbers")
        if action.modality is Modality.CONTINUOUS:
            return actions if actions.dtype.kind == "f" else actions.astype(np.float32)
        if actions.dtype.kind == "f" and not (actions == np.floor(actions)).all():
            raise InputError(f"{task}, {self._name}: actions with fractions, the task's are choices")
        return actions.astype(np.int64)

    def label(self, observations: Observations, active: Array) -> Array:
        """Returns the same as `act`. If the user's policy keeps a state, call this in every step."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": self._name, "kind": "callable", "source": self._source}
