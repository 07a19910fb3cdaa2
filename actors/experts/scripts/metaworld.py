"""Meta-World's scripted policies, one for each of its tasks."""

import warnings
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy
from gato_dist.utils.missing_packages import wheel_advice


class MetaWorldScript(Policy):
    """The policy that Meta-World ships for a task: a function of the observation alone.

    task: Meta-World's name, such as `reach-v3`.
    """

    def __init__(self, task: str) -> None:
        try:
            from metaworld.policies import ENV_POLICY_MAP
        except ImportError as error:
            raise ImportError(f"scripted experts need metaworld: {wheel_advice((3, 13))} ({error})") from error
        self._task = task
        script: Any = ENV_POLICY_MAP[task]
        self._script = script()

    def reset(self, env_ids: np.ndarray) -> None:
        """Scripts keep no state."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """float32 [N, 4] for `state` [N, 39], clipped to the action's bounds as the environment would."""
        actions = np.zeros((len(active), 4), np.float32)
        for i in np.flatnonzero(active):
            with warnings.catch_warnings():
                # Scripts ask for more than the bounds and say so at every step.
                warnings.simplefilter("ignore")
                actions[i] = np.clip(self._script.get_action(observations["state"][i]), -1.0, 1.0)
        return actions

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """What the script would do in each of these states, whoever got there: float32 [N, 4]."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"name": f"metaworld.policies {self._task}", "kind": "scripted", "metaworld": version("metaworld")}
