"""A script that brings the Jaco arm's hand to a place: resolved-rate control by the arm's own kinematics.

Joint velocities are the damped least squares of the way that is left (Wampler 1986; Nakamura and Hanafusa 1986),
q̇ = Jᵀ (J Jᵀ + λ² I)⁻¹ k (target − hand), with the Jacobian J at the joints that the observation shows.
"""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info

TARGETS = {"reach_site_features": "target_position", "reach_duplo_features": "duplo2x4/position"}
JOINTS = tuple(f"jaco_arm/joint_{number}" for number in range(1, 7))
HAND = "jaco_arm/jaco_hand/pinchsite"
GAIN, DAMPING = 10.0, 0.05  # 1/s, m


class ReachScript:
    """A function of the observation alone. env: dm_control's name of the task; ValueError for one without script.

    limits: the greatest joint velocities, float [9], rad/s; the last three are the fingers', which rest.
    """

    def __init__(self, env: str, limits: np.ndarray) -> None:
        if env not in TARGETS:
            raise ValueError(f"no script for {env}; there is one for {', '.join(TARGETS)}")
        import mujoco
        from dm_control import manipulation

        self._env, self._target, self._limits = env, TARGETS[env], limits[: len(JOINTS)]
        self._mujoco = mujoco
        # The arm is the same in all of the tasks, wherever an episode puts what it should reach.
        with_arm = manipulation.load(env, seed=0)
        with_arm.reset()
        self._model = with_arm.physics.model.ptr
        self._data = mujoco.MjData(self._model)
        self._angles = [self._model.joint(name).qposadr[0] for name in JOINTS]
        self._speeds = [self._model.joint(name).dofadr[0] for name in JOINTS]
        self._hand = self._model.site(HAND).id

    def reset(self, env_ids: np.ndarray) -> None:
        """Scripts keep no state."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """float32 [N, 9], rad/s, within the limits; slowed down as a whole, so that the hand goes straight."""
        actions = np.zeros((len(active), len(self._limits) + 3), np.float32)
        joints = np.asarray(observations["jaco_arm/joints_pos"], np.float64).reshape(len(active), len(JOINTS), 2)
        hand = np.asarray(observations["jaco_arm/jaco_hand/pinch_site_pos"], np.float64)
        way = np.asarray(observations[self._target], np.float64) - hand
        for i in np.flatnonzero(active):
            jacobian = self.jacobian(np.arctan2(joints[i, :, 0], joints[i, :, 1]))
            damped = jacobian @ jacobian.T + DAMPING**2 * np.eye(3)
            speeds = jacobian.T @ np.linalg.solve(damped, GAIN * way[i])
            actions[i, : len(JOINTS)] = speeds / max(1.0, np.abs(speeds / self._limits).max())
        return actions

    def jacobian(self, angles: np.ndarray) -> np.ndarray:
        """How the hand's position moves with each joint at these angles [6] in radians: float64 [3, 6], m/rad."""
        self._data.qpos[self._angles] = angles
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        whole = np.zeros((3, self._model.nv))
        self._mujoco.mj_jacSite(self._model, self._data, whole, None, self._hand)
        return whole[:, self._speeds]

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """What the script would do in each of these states, whoever got there: float32 [N, 9]."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": f"resolved rate {self._env}", "kind": "scripted", "gain": GAIN, "damping": DAMPING}
