"""Reacher, pendulum, acrobot and point mass: no contacts, every score a formula over angles."""

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

# --- reacher: two links of 0.12 m, a finger of radius 0.01 m, a target of 0.05 or 0.015 m (suite/reacher.{py,xml}) ---
_LINK = 0.12
_FINGER = 0.01
_BIG_TARGET, _SMALL_TARGET = 0.05, 0.015


def finger_position(qpos: np.ndarray) -> np.ndarray:
    """Where the reacher's finger is: joint angles [..., 2] in radians -> [..., 2] in metres."""
    shoulder, elbow = qpos[..., 0], qpos[..., 0] + qpos[..., 1]
    return _LINK * np.stack([np.cos(shoulder) + np.cos(elbow), np.sin(shoulder) + np.sin(elbow)], axis=-1)


def finger_distance(trajectory: Trajectory) -> np.ndarray:
    """Metres from the reacher's finger to the target's centre."""
    return np.linalg.norm(finger_position(trajectory.qpos) - trajectory.target, axis=-1)


def rebuild_reacher(observation: Observation) -> PhysicsState:
    """The arm and its target from `position` [2], `velocity` [2] and `to_target` [2]."""
    qpos = np.asarray(observation["position"], np.float64)
    return PhysicsState(qpos, velocity(observation), finger_position(qpos) + observation["to_target"])


def reward_reacher(trajectory: Trajectory) -> np.ndarray:
    """1 where finger and target overlap, else 0."""
    return (finger_distance(trajectory) <= _FINGER + _BIG_TARGET).astype(np.float64)


def reward_reacher_hard(trajectory: Trajectory) -> np.ndarray:
    """1 where finger and small target overlap, else 0."""
    return (finger_distance(trajectory) <= _FINGER + _SMALL_TARGET).astype(np.float64)


def objective_reacher(trajectory: Trajectory) -> np.ndarray:
    """The distance to the target's centre, since a plan that never touches the target earns nothing to compare by.

    Speed and effort cost a little: the arm then comes to rest inside the target, and a network that imitates
    a resting arm has nothing to get wrong.
    """
    distance = finger_distance(trajectory)
    effort = np.square(trajectory.controls).mean(axis=-1)
    speed = np.square(trajectory.qvel).mean(axis=-1)
    return tolerance(distance, 0.1) - distance / _LINK - 0.02 * speed - 0.02 * effort


def objective_reacher_hard(trajectory: Trajectory) -> np.ndarray:
    """As for the big target, with a bonus about as wide as the small one."""
    return objective_reacher(trajectory) + tolerance(finger_distance(trajectory), 0.03)


# --- pendulum: 1 kg at 0.5 m, a torque of at most 1 N m, the angle 0 when upright (suite/pendulum.{py,xml}) ---
_PENDULUM_INERTIA = 0.5**2 + 0.4 * 0.05**2
_PENDULUM_WEIGHT = 0.5 * 9.81


def rebuild_pendulum(observation: Observation) -> PhysicsState:
    """The hinge from `orientation` [2] = (cos, sin) and `velocity` [1]."""
    cosine, sine = observation["orientation"]
    return PhysicsState(angle(cosine, sine)[None], velocity(observation), NO_TARGET)


def reward_pendulum(trajectory: Trajectory) -> np.ndarray:
    """1 within 8 degrees of upright, else 0."""
    return (np.cos(trajectory.qpos[..., 0]) >= np.cos(np.deg2rad(8))).astype(np.float64)


def objective_pendulum(trajectory: Trajectory) -> np.ndarray:
    """Height, less the energy that is missing or too much for standing upright.

    The torque lifts the pendulum a fifth of the way, so it takes several swings, longer than any cheap horizon.
    Energy grows with every one of them and tells a plan apart long before the first that reaches the top.
    """
    hinge, speed = trajectory.qpos[..., 0], trajectory.qvel[..., 0]
    energy = _PENDULUM_INERTIA * np.square(speed) / 2 + _PENDULUM_WEIGHT * (np.cos(hinge) - 1)
    upright = (np.cos(hinge) + 1) / 2
    return upright + 2 * tolerance(wrapped(hinge), 0.3) - np.abs(energy) / _PENDULUM_WEIGHT


# --- acrobot: two links of 1 m hung at 2 m, only the elbow driven, the tip to reach 4 m (suite/acrobot.{py,xml}) ---
_TARGET_RADIUS = 0.2


def rebuild_acrobot(observation: Observation) -> PhysicsState:
    """Both hinges from `orientations` [4] = (sines, cosines) of the links' angles and `velocity` [2]."""
    sines, cosines = np.asarray(observation["orientations"], np.float64).reshape(2, 2)
    upper, lower = angle(cosines, sines)
    return PhysicsState(np.array([upper, wrapped(lower - upper)]), velocity(observation), NO_TARGET)


def tip_distance(trajectory: Trajectory) -> np.ndarray:
    """Metres from the acrobot's tip to the target, straight above its shoulder."""
    upper, lower = trajectory.qpos[..., 0], trajectory.qpos[..., 0] + trajectory.qpos[..., 1]
    return np.hypot(np.sin(upper) + np.sin(lower), np.cos(upper) + np.cos(lower) - 2)


def reward_acrobot(trajectory: Trajectory) -> np.ndarray:
    """1 within 0.2 m of the target, falling off over the next metre."""
    return tolerance(np.clip(tip_distance(trajectory) - _TARGET_RADIUS, 0, None), 1)


def reward_acrobot_sparse(trajectory: Trajectory) -> np.ndarray:
    """1 within 0.2 m of the target, else 0."""
    return (tip_distance(trajectory) <= _TARGET_RADIUS).astype(np.float64)


def objective_acrobot(trajectory: Trajectory) -> np.ndarray:
    """The reward and the nearness of the target, less speed near it: a tip that flies past earns little."""
    distance = tip_distance(trajectory)
    near = tolerance(distance, 1)
    speed = np.square(trajectory.qvel).sum(axis=-1)
    return reward_acrobot(trajectory) + near - 0.1 * distance - 0.05 * near * speed


# --- point mass: a target of radius 0.015 m in the middle (suite/point_mass.{py,xml}) ---
def rebuild_point_mass(observation: Observation) -> PhysicsState:
    """The mass from `position` [2] and `velocity` [2]; the target never moves."""
    return PhysicsState(np.asarray(observation["position"], np.float64), velocity(observation), NO_TARGET)


def reward_point_mass(trajectory: Trajectory) -> np.ndarray:
    """Nearness of the target times a factor for little control."""
    outside = np.clip(np.linalg.norm(trajectory.qpos, axis=-1) - _SMALL_TARGET, 0, None)
    return tolerance(outside, _SMALL_TARGET) * small_control(trajectory.controls)


def objective_point_mass(trajectory: Trajectory) -> np.ndarray:
    """The reward, and from afar, where it is flat, the distance."""
    return reward_point_mass(trajectory) - 5 * np.linalg.norm(trajectory.qpos, axis=-1)


_REACHER = ControlTask(
    "reacher", rebuild_reacher, reward_reacher, objective_reacher,
    horizon=25, knots=5, samples=32, first_iterations=4, replan_every=5, noise=0.4, temperature=0.1,
)  # fmt: skip
_ACROBOT = ControlTask(
    "acrobot", rebuild_acrobot, reward_acrobot, objective_acrobot,
    horizon=200, knots=16, samples=64, first_iterations=10, replan_every=6, noise=0.8, temperature=0.1, calmest=0.2,
)  # fmt: skip

ARMS: dict[str, ControlTask] = {
    "ReacherEasy-v1": _REACHER,
    "ReacherHard-v1": dataclasses.replace(
        _REACHER, reward=reward_reacher_hard, objective=objective_reacher_hard, samples=64, replan_every=2
    ),
    "PendulumSwingup-v1": ControlTask(
        "pendulum", rebuild_pendulum, reward_pendulum, objective_pendulum,
        horizon=50, knots=6, samples=32, first_iterations=6, replan_every=5, noise=0.5, temperature=0.1,
    ),
    "AcrobotSwingup-v1": _ACROBOT,
    "AcrobotSwingupSparse-v1": dataclasses.replace(_ACROBOT, reward=reward_acrobot_sparse),
    "PointMassEasy-v1": ControlTask(
        "point_mass", rebuild_point_mass, reward_point_mass, objective_point_mass,
        horizon=40, knots=6, samples=32, first_iterations=4, replan_every=5, noise=0.4, temperature=0.1,
    ),
}  # fmt: skip
