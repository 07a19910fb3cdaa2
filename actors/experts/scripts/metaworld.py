"""Meta-World's scripted policies, one per task."""

import warnings
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy
from gato_dist.utils.missing_packages import wheel_advice


class MetaWorldScript(Policy):
    """The policy that Meta-World ships for a task. Its actions depend on the current observation alone.

    Args:
        task: Meta-World's name, such as `reach-v3`.

    Raises:
        ImportError: if metaworld is missing.
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
        """Does nothing: scripts have no state."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Returns actions, float32 [N, 4], clipped to the bounds as the environment would."""
        actions = np.zeros((len(active), 4), np.float32)
        for i in np.flatnonzero(active):
            with warnings.catch_warnings():
                # Scripts exceed the bounds, and Meta-World warns of it in every step.
                warnings.simplefilter("ignore")
                actions[i] = np.clip(self._script.get_action(observations["state"][i]), -1.0, 1.0)
        return actions

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Returns the same as `act`, float32 [N, 4]."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"name": f"metaworld.policies {self._task}", "kind": "scripted", "metaworld": version("metaworld")}
