"""Cheetah, walker and hopper: planar bodies whose place along the ground does not matter."""

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
    at_least,
    small_control,
    tolerance,
    velocity,
    wrapped,
)

_SPEED = "torso_subtreelinvel"


def rebuild_without_x(observation: Observation) -> PhysicsState:
    """Cheetah or hopper from `position` [nq - 1] and `velocity` [nv]; its place along the ground is hidden."""
    return PhysicsState(np.concatenate([[0.0], observation["position"]]), velocity(observation), NO_TARGET)


def speed(trajectory: Trajectory) -> np.ndarray:
    """Metres per second forwards, of the centre of mass."""
    return trajectory.sensors[_SPEED][..., 0]


# --- cheetah: qpos = x, z, pitch, six joints (suite/cheetah.{py,xml}) ---
def reward_cheetah(trajectory: Trajectory) -> np.ndarray:
    """Speed over 10 m/s, from 0 to 1."""
    return at_least(speed(trajectory), 10, 10, 0)


def objective_cheetah(trajectory: Trajectory) -> np.ndarray:
    """Speed without its bounds, less pitch: on its back the cheetah slides on, but slowly, and does not get up."""
    return speed(trajectory) / 10 - 0.1 * np.square(trajectory.qpos[..., 2])


# --- walker: qpos = z, x, pitch, then hip, knee and ankle of each leg (suite/walker.{py,xml}) ---
_TORSO_HEIGHT, _WALKER_STANDS = 1.3, 1.2


def rebuild_walker(observation: Observation) -> PhysicsState:
    """The walker from `orientations` [14] = (cos, sin) of its bodies, `height` and `velocity` [9]; x is hidden.

    Hips, knees and ankles turn about the axis opposite to the one that pitch and orientations turn about.
    """
    bodies = angle(*np.asarray(observation["orientations"], np.float64).reshape(7, 2).T)
    torso, legs = bodies[0], bodies[1:].reshape(2, 3)
    joints = -wrapped(np.diff(legs, axis=1, prepend=torso))
    height = float(np.asarray(observation["height"]).ravel()[0])
    qpos = np.concatenate([[height - _TORSO_HEIGHT, 0.0, torso], joints.ravel()])
    return PhysicsState(qpos, velocity(observation), NO_TARGET)


def reward_walker_stand(trajectory: Trajectory) -> np.ndarray:
    """Three parts for a torso at 1.2 m or higher, one for an upright one."""
    height = trajectory.qpos[..., 0] + _TORSO_HEIGHT
    standing = tolerance(np.clip(_WALKER_STANDS - height, 0, None), _WALKER_STANDS / 2)
    return (3 * standing + (1 + np.cos(trajectory.qpos[..., 2])) / 2) / 4


def reward_walker_walk(trajectory: Trajectory) -> np.ndarray:
    """Standing times a factor for a speed of 1 m/s."""
    return reward_walker_stand(trajectory) * (5 * at_least(speed(trajectory), 1, 0.5, 0.5) + 1) / 6


def reward_walker_run(trajectory: Trajectory) -> np.ndarray:
    """Standing times a factor for a speed of 8 m/s."""
    return reward_walker_stand(trajectory) * (5 * at_least(speed(trajectory), 8, 4, 0.5) + 1) / 6


def _walker_poise(trajectory: Trajectory) -> np.ndarray:
    """Height up to standing, for the reward has next to no slope where the walker lies."""
    return np.clip((trajectory.qpos[..., 0] + _TORSO_HEIGHT) / _WALKER_STANDS, 0, 1)


def objective_walker_stand(trajectory: Trajectory) -> np.ndarray:
    """The reward and the way to it, less speed once up: a walker at rest needs no further steps to stay so."""
    reward = reward_walker_stand(trajectory)
    moving = np.abs(speed(trajectory)) + 0.4 * np.abs(trajectory.qvel[..., 2])
    return reward + _walker_poise(trajectory) - 0.05 * np.square(reward) * moving


def objective_walker_walk(trajectory: Trajectory) -> np.ndarray:
    """The reward, the way to it, and less tumbling: beyond the horizon a fast pitch is a fall."""
    reward = reward_walker_walk(trajectory)
    return reward + _walker_poise(trajectory) - 0.02 * reward * np.abs(trajectory.qvel[..., 2])


def objective_walker_run(trajectory: Trajectory) -> np.ndarray:
    """Standing, and speed where it stands: the reward is flat over all speeds up to 0."""
    standing = reward_walker_stand(trajectory)
    running = standing * np.clip(speed(trajectory), -1, 8) / 2
    return standing + _walker_poise(trajectory) + running - 0.02 * standing * np.abs(trajectory.qvel[..., 2])


# --- hopper: qpos = x, z, pitch, waist, hip, knee, ankle (suite/hopper.{py,xml}) ---
_HOPPER_STANDS = 0.6


def sense_heights(spec: Any) -> None:
    """Adds sensors of where the centres of mass of torso and foot are, which the reward compares."""
    import mujoco

    for body in ("torso", "foot"):
        spec.add_sensor(
            name=f"{body}_com", type=mujoco.mjtSensor.mjSENS_FRAMEPOS, objtype=mujoco.mjtObj.mjOBJ_BODY, objname=body
        )


def hopper_height(trajectory: Trajectory) -> np.ndarray:
    """Metres from the foot up to the torso."""
    return trajectory.sensors["torso_com"][..., 2] - trajectory.sensors["foot_com"][..., 2]


def hopper_stands(trajectory: Trajectory) -> np.ndarray:
    """1 where the torso is 0.6 ... 2 m above the foot, else 0."""
    height = hopper_height(trajectory)
    return ((height >= _HOPPER_STANDS) & (height <= 2)).astype(np.float64)


def reward_hopper_stand(trajectory: Trajectory) -> np.ndarray:
    """Standing times a factor for little control."""
    return hopper_stands(trajectory) * small_control(trajectory.controls)


def _hopper_poise(trajectory: Trajectory) -> np.ndarray:
    """The way to standing, where the reward has no slope.

    Height counts most: with more for uprightness the hopper lies on its belly, head up, and leaves its leg behind.
    """
    rising = np.clip(hopper_height(trajectory) / (_HOPPER_STANDS + 0.1), -1, 1)
    off_ground = np.clip(trajectory.sensors["torso_com"][..., 2], 0, 0.8)
    return 0.3 * rising + 0.1 * np.cos(trajectory.qpos[..., 2]) + 1.2 * off_ground


def objective_hopper_stand(trajectory: Trajectory) -> np.ndarray:
    """The reward and the way to it; speed counts against it, for a hopper at rest stays up."""
    return reward_hopper_stand(trajectory) + 2 * _hopper_poise(trajectory) - 0.1 * np.abs(speed(trajectory))


_WALKER = ControlTask(
    "walker", rebuild_walker, reward_walker_walk, objective_walker_walk,
    physics_steps=10, sensors=(_SPEED,), hidden=(1,),
    horizon=30, knots=5, samples=24, first_iterations=6, replan_every=4, noise=0.8, temperature=0.1, calmest=0.2,
)  # fmt: skip

LOCOMOTION: dict[str, ControlTask] = {
    "CheetahRun-v1": ControlTask(
        "cheetah", rebuild_without_x, reward_cheetah, objective_cheetah, sensors=(_SPEED,), hidden=(0,),
        horizon=60, knots=12, samples=64, first_iterations=4, replan_every=4, noise=0.6, temperature=0.1,
    ),
    "WalkerStand-v1": dataclasses.replace(
        _WALKER, reward=reward_walker_stand, objective=objective_walker_stand, horizon=45, noise=1.0, calmest=0.1
    ),
    "WalkerWalk-v1": _WALKER,
    "WalkerRun-v1": dataclasses.replace(_WALKER, reward=reward_walker_run, objective=objective_walker_run),
    "HopperStand-v1": ControlTask(
        "hopper", rebuild_without_x, reward_hopper_stand, objective_hopper_stand,
        physics_steps=4, sensors=(_SPEED, "torso_com", "foot_com"), adapt=sense_heights, hidden=(0,),
        horizon=60, knots=5, samples=36, first_iterations=6, replan_every=4, noise=1.0, temperature=0.1, calmest=0.1,
    ),
}  # fmt: skip
