"""The kinematics of dm_control.manipulation's Jaco arm, from what its observations show.

Joint velocities are the damped least squares of the motion asked of the hand (Wampler 1986; Nakamura and Hanafusa
1986), q̇ = Jᵀ (J Jᵀ + λ² I)⁻¹ v, with the Jacobian J at the joints that the observation shows.
"""

import numpy as np

from gato_dist.episode import Observations

JOINTS = tuple(f"jaco_arm/joint_{number}" for number in range(1, 7))
HAND = "jaco_arm/jaco_hand/pinchsite"


class JacoArm:
    """The arm of one task; env: dm_control's name. limits: the greatest joint velocities, float [9], rad/s."""

    def __init__(self, env: str, limits: np.ndarray) -> None:
        import mujoco
        from dm_control import manipulation

        self._mujoco, self._limits = mujoco, limits[: len(JOINTS)]
        # The arm is the same in all of the tasks, wherever an episode puts what it should reach.
        with_arm = manipulation.load(env, seed=0)
        with_arm.reset()
        self._model = with_arm.physics.model.ptr
        self._data = mujoco.MjData(self._model)
        self._angles = [self._model.joint(name).qposadr[0] for name in JOINTS]
        self._speeds = [self._model.joint(name).dofadr[0] for name in JOINTS]
        self._hand = self._model.site(HAND).id

    def angles(self, observations: Observations) -> np.ndarray:
        """Radians, float64 [N, 6], of the sines and cosines that are observed."""
        joints = np.asarray(observations["jaco_arm/joints_pos"], np.float64).reshape(-1, len(JOINTS), 2)
        return np.arctan2(joints[:, :, 0], joints[:, :, 1])

    def jacobian(self, angles: np.ndarray) -> np.ndarray:
        """How the hand moves with each joint at these angles [6] in radians: float64 [6, 6].

        Sequences 0 … 2: its position, m/rad; rows 3 … 5: its rotation about the world's axes, rad/rad.
        """
        self._data.qpos[self._angles] = angles
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        position, rotation = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        self._mujoco.mj_jacSite(self._model, self._data, position, rotation, self._hand)
        return np.concatenate([position, rotation])[:, self._speeds]

    def speeds(self, jacobian: np.ndarray, motion: np.ndarray, damping: float) -> np.ndarray:
        """Joint velocities [6], rad/s, for a motion [R] of the hand with its rows of the Jacobian [R, 6].

        Slowed down as a whole where a joint would exceed its limit, so that the hand goes straight.
        """
        damped = jacobian @ jacobian.T + damping**2 * np.eye(len(jacobian))
        speeds = jacobian.T @ np.linalg.solve(damped, motion)
        return speeds / max(1.0, np.abs(speeds / self._limits).max())
