"""The kinematics of dm_control.manipulation's Jaco arm, computed from observations.

Joint velocities q̇ follow from the hand's velocity v by damped least squares (Wampler 1986; Nakamura and Hanafusa 1986):
q̇ = Jᵀ (J Jᵀ + λ² I)⁻¹ v, with the Jacobian J at the observed joint angles.
"""

import numpy as np

from gato_dist.episode import Observations

JOINTS = tuple(f"jaco_arm/joint_{number}" for number in range(1, 7))
HAND = "jaco_arm/jaco_hand/pinchsite"


class JacoArm:
    """The arm of a task.

    Args:
        env: dm_control's name of the task.
        limits: greatest joint velocities in rad/s, float [9]; the last three are those of the fingers.
    """

    def __init__(self, env: str, limits: np.ndarray) -> None:
        import mujoco
        from dm_control import manipulation

        self._mujoco, self._limits = mujoco, limits[: len(JOINTS)]
        # The arm does not depend on the episode, so any seed will do.
        with_arm = manipulation.load(env, seed=0)
        with_arm.reset()
        self._model = with_arm.physics.model.ptr
        self._data = mujoco.MjData(self._model)
        self._angles = [self._model.joint(name).qposadr[0] for name in JOINTS]
        self._speeds = [self._model.joint(name).dofadr[0] for name in JOINTS]
        self._hand = self._model.site(HAND).id

    def angles(self, observations: Observations) -> np.ndarray:
        """Returns the joint angles in radians, float64 [N, 6]."""
        joints = np.asarray(observations["jaco_arm/joints_pos"], np.float64).reshape(-1, len(JOINTS), 2)
        return np.arctan2(joints[:, :, 0], joints[:, :, 1])

    def jacobian(self, angles: np.ndarray) -> np.ndarray:
        """Returns the Jacobian of the hand, float64 [6, 6].

        Args:
            angles: joint angles in radians, [6].

        Returns:
            One column per joint. Rows 0 … 2: the hand's position in m/rad; rows 3 … 5: its rotation in rad/rad.
        """
        self._data.qpos[self._angles] = angles
        self._mujoco.mj_kinematics(self._model, self._data)
        self._mujoco.mj_comPos(self._model, self._data)
        position, rotation = np.zeros((3, self._model.nv)), np.zeros((3, self._model.nv))
        self._mujoco.mj_jacSite(self._model, self._data, position, rotation, self._hand)
        return np.concatenate([position, rotation])[:, self._speeds]

    def speeds(self, jacobian: np.ndarray, motion: np.ndarray, damping: float) -> np.ndarray:
        """Returns joint velocities in rad/s, [6], for a velocity of the hand.

        If a joint would exceed its limit, all joints slow down, so that the hand moves straight.

        Args:
            jacobian: the rows of the Jacobian that `motion` concerns, [R, 6].
            motion: velocity of the hand, [R].
            damping: λ, in metres.
        """
        damped = jacobian @ jacobian.T + damping**2 * np.eye(len(jacobian))
        speeds = jacobian.T @ np.linalg.solve(damped, motion)
        return speeds / max(1.0, np.abs(speeds / self._limits).max())
