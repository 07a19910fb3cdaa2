"""A script that takes hold of a brick with the Jaco arm's hand and lifts it, or puts it down on a pedestal.

A state machine without memory: what is seen says which stage it is. The hand comes from above, turned so that its
fingers close across the brick's short side; motions of the hand become joint velocities by the arm's own kinematics.
"""

import dataclasses
from typing import Any

import numpy as np

from actors.experts.scripts.jaco_arm import JacoArm
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

# What is done with the brick: None to lift it, else the part of the observation that says where to put it.
GOALS = {
    "lift_brick_features": None,
    "place_brick_features": "pedestal/position",
    "place_cradle_features": "pedestal/position",
}
BRICK, HAND = "duplo2x4", "jaco_arm/jaco_hand"
GAIN, TURN_GAIN, DAMPING = 12.0, 6.0, 0.03  # 1/s, 1/s, m
FALL = 0.25  # m/s that the hand goes up or down at most, so that it is not late sideways
CLOSE_SPEED, FINGER_GAIN = 5.0, 20.0  # rad/s, 1/s
APART, WIDE, CLOSED, STILL = 0.45, 0.15, 0.8, 0.3  # of the fingers, rad and for the last rad/s
# Where a brick sits in the hand that holds it, in the frame of the pinch site, and how far off it may be, metres.
SEAT, SLACK = np.array([0.0, -0.014, 0.006]), np.array([0.022, 0.03, 0.014])
ABOVE, LIFT_TO, OFF_TABLE = 0.08, 0.45, 0.03  # metres
# How far aside (metres) and turned (radians) the hand may be at the brick, and metres it stays higher for each more.
ALIGNED, FUNNEL, STRAIGHT, TURNING = 0.006, 10.0, 0.12, 0.5
CLEAR, RESTS, RELEASE, AWAY = 0.08, 0.03, 0.035, 0.25  # metres over the target


@dataclasses.dataclass(frozen=True)
class GraspState:
    """What one observation shows, in metres, radians and the world's axes; float64.

    hand, brick, target [3]: places (target: where the brick goes, None to lift it); frame, brick_frame [3, 3]: axes as
    columns; fingers, finger_speeds [3]: 0 is wide open.
    """

    hand: np.ndarray
    frame: np.ndarray
    fingers: np.ndarray
    finger_speeds: np.ndarray
    brick: np.ndarray
    brick_frame: np.ndarray
    target: np.ndarray | None

    @classmethod
    def of(cls, observations: Observations, row: int, target: str | None) -> "GraspState":
        def part(name: str) -> np.ndarray:
            return np.asarray(observations[name][row], np.float64)

        return cls(
            part(f"{HAND}/pinch_site_pos"), part(f"{HAND}/pinch_site_rmat").reshape(3, 3),
            part(f"{HAND}/joints_pos"), part(f"{HAND}/joints_vel"),
            part(f"{BRICK}/position"), axes(part(f"{BRICK}/orientation")),
            None if target is None else part(target),
        )  # fmt: skip

    @property
    def grip(self) -> np.ndarray:
        """The hand's axes [3, 3] for a grip: fingers down, closing along the brick's first axis, the near way round."""
        across = self.brick_frame[:, 0] * np.array([1.0, 1.0, 0.0])
        across = across / (np.linalg.norm(across) + 1e-9)
        if across @ self.frame[:, 0] < 0:
            across = -across
        down = np.array([0.0, 0.0, -1.0])
        return np.stack([across, np.cross(down, across), down], axis=1)

    @property
    def off_seat(self) -> np.ndarray:
        """How far the brick is from its seat in the hand, in the hand's axes [3]."""
        return self.frame.T @ (self.brick - self.hand) - SEAT

    @property
    def above(self) -> float:
        """The height at which the hand is clear of the brick, and of the pedestal where there is one."""
        return float(self.brick[2] if self.target is None else max(self.brick[2], self.target[2])) + ABOVE

    @property
    def seated(self) -> bool:
        """Whether the brick is where closing fingers would hold it."""
        return bool(np.all(np.abs(self.off_seat) < SLACK))

    @property
    def held(self) -> bool:
        """Whether the fingers have closed on it."""
        stopped = self.fingers.mean() > CLOSED and np.abs(self.finger_speeds).max() < STILL
        return self.seated and bool(stopped or (self.brick[2] > OFF_TABLE and self.fingers.mean() > CLOSED))


@dataclasses.dataclass(frozen=True)
class HandCommand:
    """Where the hand goes, how it is turned and what the fingers do: rad/s, closing where positive."""

    place: np.ndarray
    frame: np.ndarray
    fingers: np.ndarray


def next_command(scene: GraspState) -> HandCommand:
    """The stage that the scene is in, as what to do next."""
    if scene.target is not None and _is_placed(scene, scene.target):
        return _leave(scene)
    if scene.held:
        return _carry(scene)
    if scene.seated and scene.fingers.max() > APART / 2:
        return HandCommand(scene.hand, scene.grip, np.full(3, CLOSE_SPEED))
    return _approach(scene)


def _approach(scene: GraspState) -> HandCommand:
    """Above the brick, and down on it once the hand is over it, turned and open."""
    over = scene.brick - scene.grip @ SEAT
    aside = np.linalg.norm((over - scene.hand)[:2])
    turned = np.linalg.norm(rotation(scene.grip @ scene.frame.T))
    top = scene.above - scene.brick[2]
    higher = FUNNEL * (aside - ALIGNED), TURNING * (turned - STRAIGHT), FUNNEL * (scene.fingers.max() - APART - 0.15)
    place = over + np.array([0.0, 0.0, np.clip(max(higher), 0, top)])
    if aside > 3 * ALIGNED and scene.hand[2] < over[2] + top / 2:
        place[:2] = scene.hand[:2]  # up first, so as not to push what stands there
    return HandCommand(place, scene.grip, FINGER_GAIN * (APART - scene.fingers))


def _carry(scene: GraspState) -> HandCommand:
    """Up, or over the target and down on it."""
    closing = np.full(3, CLOSE_SPEED)
    if scene.target is None:
        return HandCommand(np.append(scene.hand[:2], LIFT_TO), scene.grip, closing)
    way = scene.target - scene.brick
    aside = np.linalg.norm(way[:2])
    if aside > RESTS and way[2] > -CLEAR / 2:
        way = np.append(0 * way[:2], way[2] + CLEAR)  # up first, so as not to hit the pedestal
    elif aside > RESTS / 2:
        way[2] += CLEAR
    return HandCommand(scene.hand + way, scene.grip, closing)


def _is_placed(scene: GraspState, target: np.ndarray) -> bool:
    way = scene.brick - target
    return bool(np.linalg.norm(way[:2]) < RESTS and way[2] < RELEASE)


def _leave(scene: GraspState) -> HandCommand:
    """Opens, and then goes up and away."""
    free = scene.fingers.max() < APART or not scene.seated
    place = np.append(scene.hand[:2], scene.brick[2] + AWAY) if free else scene.hand
    return HandCommand(place, scene.grip, FINGER_GAIN * (WIDE - scene.fingers))


class GraspScript(Policy):
    """A function of the observation alone. env: dm_control's name of the task, one of GOALS.

    limits: the greatest joint velocities, float [9], rad/s; the last three are the fingers'.
    """

    def __init__(self, env: str, limits: np.ndarray) -> None:
        self._env, self._target, self._limits = env, GOALS[env], limits
        self.arm = JacoArm(env, limits)

    def reset(self, env_ids: np.ndarray) -> None:
        """Scripts keep no state."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """float32 [N, 9], rad/s, within the limits."""
        actions = np.zeros((len(active), 9))
        angles = self.arm.angles(observations)
        for i in np.flatnonzero(active):
            scene = GraspState.of(observations, int(i), self._target)
            move = next_command(scene)
            turn = rotation(move.frame @ scene.frame.T)
            way = GAIN * (move.place - scene.hand)
            way[2] = np.clip(way[2], -FALL, FALL)
            motion = np.concatenate([way, TURN_GAIN * turn])
            actions[i, :6] = self.arm.speeds(self.arm.jacobian(angles[i]), motion, DAMPING)
            actions[i, 6:] = move.fingers
        return np.clip(actions, -self._limits, self._limits).astype(np.float32)

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Returns the script's actions in these states, whichever policy acts: float32 [N, 9]."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": f"grasp {self._env}", "kind": "scripted", "version": 1}


def axes(quaternion: np.ndarray) -> np.ndarray:
    """The axes [3, 3], as columns, that a unit quaternion (w, x, y, z) turns the world's into."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation(frame: np.ndarray) -> np.ndarray:
    """Axis times angle, radians [3], of a rotation matrix [3, 3] that is not near half a turn."""
    skew = np.array([frame[2, 1] - frame[1, 2], frame[0, 2] - frame[2, 0], frame[1, 0] - frame[0, 1]])
    sine = np.linalg.norm(skew) / 2
    angle = np.arctan2(sine, (np.trace(frame) - 1) / 2)
    return skew / 2 * (angle / sine if sine > 1e-9 else 1.0)
