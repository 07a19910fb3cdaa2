"""Ball in cup and finger: objects that move only where they are touched."""

import dataclasses
from typing import Any

import numpy as np

from actors.experts.planners.control_tasks.spec import (
    NO_TARGET,
    ControlTask,
    Observation,
    PhysicsState,
    Trajectory,
    angle,
    tolerance,
    velocity,
    wrapped,
)

# --- ball in cup: qpos = cup x, z, ball x, z, all from their rest positions (suite/ball_in_cup.{py,xml}) ---
_TARGET_HEIGHT, _BALL_HEIGHT = 0.6 - 0.05, 0.2
# dm_control leaves room for the ball's radius, 0.025 m; envpool subtracts 0.008 m, the radius of a part of the cup.
_ROOM = 0.05 - 0.008


def rebuild_ball_in_cup(observation: Observation) -> PhysicsState:
    """Cup and ball from `position` [4] and `velocity` [4]."""
    return PhysicsState(np.asarray(observation["position"], np.float64), velocity(observation), NO_TARGET)


def ball_to_target(trajectory: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Metres, (x, z), from the ball to the middle of the cup."""
    cup_x, cup_z, ball_x, ball_z = np.moveaxis(trajectory.qpos, -1, 0)
    return cup_x - ball_x, cup_z + _TARGET_HEIGHT - ball_z - _BALL_HEIGHT


def reward_ball_in_cup(trajectory: Trajectory) -> np.ndarray:
    """1 where the ball is within the cup's box, less some room, else 0."""
    x, z = ball_to_target(trajectory)
    return ((np.abs(x) < _ROOM) & (np.abs(z) < _ROOM)).astype(np.float64)


def objective_ball_in_cup(trajectory: Trajectory) -> np.ndarray:
    """The reward and the ball's height over the cup, since the way in leads from below over the rim.

    Being straight above the cup is worth more the higher the ball is: it falls in from there.
    """
    x, z = ball_to_target(trajectory)
    above = np.clip(-z, -0.3, 0.1)
    return 3 * reward_ball_in_cup(trajectory) + 2 * above - 2 * np.abs(x) * (above > 0)


# --- finger: qpos = proximal, distal, hinge; the spinner's hinge turns about -y (suite/finger.{py,xml}) ---
_SPIN_SPEED = 15.0
_TIP_RADIUS = 0.13
_EASY_TARGET, _HARD_TARGET = 0.07, 0.03


def soften(spec: Any) -> None:
    """Contacts as the environment's.

    In envpool, which brings MuJoCo 3.6, the finger meets the spinner far softer than in dm_control with MuJoCo 3.3; the
    cause was not found. These parameters were fitted to envpool's accelerations in contact: a few per cent of error
    remain there, more in a fast strike, and none without contact.
    """
    for geom in spec.geoms:
        geom.solimp = [0.0, 0.9, 0.06, 0.5, 1.5]


def soften_and_spin_freely(spec: Any) -> None:
    """The same, with the damping that the task Spin gives the hinge."""
    soften(spec)
    spec.joint("hinge").damping = 0.03


def rebuild_finger(observation: Observation) -> PhysicsState:
    """From `position` [4] = (proximal, distal, tip x, tip z), `velocity` [3] and, in Turn, `target_position` [2]."""
    proximal, distal, x, z = np.asarray(observation["position"], np.float64)
    target = np.asarray(observation.get("target_position", NO_TARGET), np.float64)
    return PhysicsState(np.array([proximal, distal, angle(z, -x)]), velocity(observation), target)


def tip_to_target(trajectory: Trajectory) -> np.ndarray:
    """Metres from the spinner's tip to the target's centre."""
    hinge = trajectory.qpos[..., 2]
    tip = _TIP_RADIUS * np.stack([-np.sin(hinge), np.cos(hinge)], axis=-1)
    return np.linalg.norm(trajectory.target - tip, axis=-1)


def fingertip_to_spinner(trajectory: Trajectory) -> np.ndarray:
    """Metres from between the finger's touch sites to the spinner's hinge."""
    fingertip = (trajectory.sensors["touchtop_pos"] + trajectory.sensors["touchbottom_pos"]) / 2
    return np.linalg.norm(fingertip - trajectory.sensors["spinner"], axis=-1)


def reward_finger_spin(trajectory: Trajectory) -> np.ndarray:
    """1 where the spinner turns at 15 rad/s or more the right way, else 0."""
    return (trajectory.qvel[..., 2] <= -_SPIN_SPEED).astype(np.float64)


def reward_finger_turn_easy(trajectory: Trajectory) -> np.ndarray:
    """1 where the spinner's tip is within 0.07 m of the target, else 0."""
    return (tip_to_target(trajectory) <= _EASY_TARGET).astype(np.float64)


def reward_finger_turn_hard(trajectory: Trajectory) -> np.ndarray:
    """1 where the spinner's tip is within 0.03 m of the target, else 0."""
    return (tip_to_target(trajectory) <= _HARD_TARGET).astype(np.float64)


def objective_finger_spin(trajectory: Trajectory) -> np.ndarray:
    """The reward and the spinner's speed up to twice what is needed; from afar, nearness of the finger."""
    speed = np.clip(-trajectory.qvel[..., 2] / _SPIN_SPEED, -1, 2)
    return reward_finger_spin(trajectory) + speed - 0.2 * fingertip_to_spinner(trajectory)


def objective_finger_turn(trajectory: Trajectory) -> np.ndarray:
    """The angle that is left, and at the target rest.

    The finger only brushes the spinner and needs many strokes; an angle, unlike a distance, falls alike with each.
    """
    target = angle(trajectory.target[1], -trajectory.target[0])
    left = np.abs(wrapped(trajectory.qpos[..., 2] - target))
    near = tolerance(left, 0.3)
    speed = np.abs(trajectory.qvel[..., 2])
    return 2 * near - left - 0.2 * (1 - near) * fingertip_to_spinner(trajectory) - 0.1 * near * speed


_SENSED = ("touchtop_pos", "touchbottom_pos", "spinner")
_TURN = ControlTask(
    "finger", rebuild_finger, reward_finger_turn_easy, objective_finger_turn,
    physics_steps=2, sensors=_SENSED, adapt=soften,
    horizon=70, knots=10, samples=80, first_iterations=6, replan_every=5, noise=1.0, temperature=0.1, calmest=0.2,
)  # fmt: skip

CONTACT: dict[str, ControlTask] = {
    "BallInCupCatch-v1": ControlTask(
        "ball_in_cup", rebuild_ball_in_cup, reward_ball_in_cup, objective_ball_in_cup, physics_steps=10,
        horizon=40, knots=8, samples=32, first_iterations=6, replan_every=5, noise=0.5, temperature=0.1,
    ),
    "FingerSpin-v1": dataclasses.replace(
        _TURN, reward=reward_finger_spin, objective=objective_finger_spin, adapt=soften_and_spin_freely,
        horizon=30, knots=8, samples=96, replan_every=2, noise=0.8,
    ),
    "FingerTurnEasy-v1": _TURN,
    "FingerTurnHard-v1": dataclasses.replace(_TURN, reward=reward_finger_turn_hard),
}  # fmt: skip
