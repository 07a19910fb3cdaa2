"""A script that moves the Jaco arm's hand straight to a target position."""

from typing import Any

import numpy as np

from actors.experts.scripts.jaco_arm import JacoArm
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

TARGETS = {"reach_site_features": "target_position", "reach_duplo_features": "duplo2x4/position"}
GAIN, DAMPING = 10.0, 0.05  # 1/s, m


class ReachScript(Policy):
    """Moves the hand to the target, with actions that depend on the current observation alone.

    Args:
        env: dm_control's name of the task, a key of TARGETS.
        limits: greatest joint velocities in rad/s, float [9]; the last three are those of the fingers, which rest.
    """

    def __init__(self, env: str, limits: np.ndarray) -> None:
        self._env, self._target = env, TARGETS[env]
        self.arm = JacoArm(env, limits)

    def reset(self, env_ids: np.ndarray) -> None:
        """Does nothing: scripts have no state."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Returns joint velocities in rad/s within the limits, float32 [N, 9]."""
        actions = np.zeros((len(active), 9), np.float32)
        angles = self.arm.angles(observations)
        hand = np.asarray(observations["jaco_arm/jaco_hand/pinch_site_pos"], np.float64)
        way = np.asarray(observations[self._target], np.float64) - hand
        for i in np.flatnonzero(active):
            actions[i, :6] = self.arm.speeds(self.arm.jacobian(angles[i])[:3], GAIN * way[i], DAMPING)
        return actions

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Returns the same as `act`, float32 [N, 9]."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": f"resolved rate {self._env}", "kind": "scripted", "gain": GAIN, "damping": DAMPING}
