"""Cart and poles (suite/cartpole.{py,xml}): a hinge's angle is 0 when its pole continues the one below it."""

import dataclasses

import numpy as np

from actors.experts.planners.control_tasks.spec import (
    NO_TARGET,
    ControlTask,
    Observation,
    PhysicsState,
    Trajectory,
    angle,
    small_control,
    tolerance,
    velocity,
    wrapped,
)


def rebuild_cartpole(observation: Observation) -> PhysicsState:
    """Cart and pole from `position` [3] = (x, cos, sin) and `velocity` [2]."""
    x, cosine, sine = observation["position"]
    qpos = np.array([x, np.arctan2(sine, cosine)], np.float64)
    return PhysicsState(qpos, velocity(observation), NO_TARGET)


def rebuild_poles(observation: Observation) -> PhysicsState:
    """Cart and P poles from `position` [1 + 2P] = (x, cos, sin, ...), angles from the vertical, and `velocity`."""
    position = np.asarray(observation["position"], np.float64)
    vertical = angle(position[1::2], position[2::2])
    hinges = wrapped(np.diff(vertical, prepend=0.0))
    return PhysicsState(np.concatenate([position[:1], hinges]), velocity(observation), NO_TARGET)


def reward_cartpole(trajectory: Trajectory) -> np.ndarray:
    """The product of four terms in [0, 1]: upright, centred, little control, little angular velocity."""
    upright = (np.cos(trajectory.qpos[..., 1]) + 1) / 2
    centred = (1 + tolerance(trajectory.qpos[..., 0], 2)) / 2
    effort = (4 + np.clip(1 - np.square(trajectory.controls[..., 0]), 0, None)) / 5
    small_velocity = (1 + tolerance(trajectory.qvel[..., 1], 5)) / 2
    return upright * effort * small_velocity * centred


def reward_cartpole_sparse(trajectory: Trajectory) -> np.ndarray:
    """1 where the cart is within 0.25 m of the middle and the pole's cosine is at least 0.995, else 0."""
    upright = np.cos(trajectory.qpos[..., 1]) >= 0.995
    return (upright & (np.abs(trajectory.qpos[..., 0]) <= 0.25)).astype(np.float64)


def reward_poles(trajectory: Trajectory) -> np.ndarray:
    """As with one pole: uprightness is the poles' mean, the velocity that counts the fastest hinge's."""
    upright = (np.cos(np.cumsum(trajectory.qpos[..., 1:], axis=-1)).mean(axis=-1) + 1) / 2
    centred = (1 + tolerance(trajectory.qpos[..., 0], 2)) / 2
    small_velocity = (1 + tolerance(trajectory.qvel[..., 1:], 5).min(axis=-1)) / 2
    return upright * small_control(trajectory.controls) * small_velocity * centred


def objective_cartpole(trajectory: Trajectory) -> np.ndarray:
    """The reward, less the cart's distance from the middle and, once the pole is up, the cart's speed.

    The rail ends beyond the horizon of a plan: without these terms the cart balances the pole and drifts into its end.
    """
    upright = (np.cos(trajectory.qpos[..., 1]) + 1) / 2
    drift = np.square(trajectory.qpos[..., 0]) + np.square(upright) * np.square(trajectory.qvel[..., 0])
    return reward_cartpole(trajectory) - 0.1 * drift


def objective_cartpole_sparse(trajectory: Trajectory) -> np.ndarray:
    """The dense objective shows the way, the sparse reward how exact the end must be."""
    return objective_cartpole(trajectory) + reward_cartpole_sparse(trajectory)


def objective_poles(trajectory: Trajectory) -> np.ndarray:
    """The reward, less the drift as with one pole; poles that stand in line are worth more than their mean."""
    upright = (np.cos(np.cumsum(trajectory.qpos[..., 1:], axis=-1)).min(axis=-1) + 1) / 2
    drift = np.square(trajectory.qpos[..., 0]) + np.square(upright) * np.square(trajectory.qvel[..., 0])
    return reward_poles(trajectory) + upright - 0.1 * drift


_SWINGUP = ControlTask(
    "cartpole", rebuild_cartpole, reward_cartpole, objective_cartpole,
    horizon=120, knots=8, samples=48, first_iterations=20, replan_every=6, noise=0.5, temperature=0.1,
)  # fmt: skip
_BALANCE = dataclasses.replace(
    _SWINGUP, horizon=100, knots=8, samples=32, first_iterations=4, replan_every=3, noise=0.2
)
_POLES = ControlTask(
    "cartpole", rebuild_poles, reward_poles, objective_poles, model_arguments=(2,),
    horizon=100, knots=12, samples=48, first_iterations=20, replan_every=5, noise=0.4, temperature=0.1,
)  # fmt: skip

CARTPOLES: dict[str, ControlTask] = {
    "CartpoleBalance-v1": _BALANCE,
    "CartpoleBalanceSparse-v1": dataclasses.replace(_BALANCE, reward=reward_cartpole_sparse),
    "CartpoleSwingup-v1": _SWINGUP,
    "CartpoleSwingupSparse-v1": dataclasses.replace(
        _SWINGUP, reward=reward_cartpole_sparse, objective=objective_cartpole_sparse,
        samples=32, replan_every=3, calmest=0.2,
    ),
    "CartpoleTwoPoles-v1": _POLES,
    "CartpoleThreePoles-v1": dataclasses.replace(_POLES, model_arguments=(3,)),
}  # fmt: skip
