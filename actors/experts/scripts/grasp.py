"""A script that grasps a brick with the Jaco arm's hand and lifts it, or puts it on a pedestal.

It is a state machine without memory: the observation decides the stage. The hand approaches from above, rotated so that
its fingers close across the brick's short side. The arm's kinematics turn motions of the hand into joint velocities.
"""

import dataclasses
from typing import Any

import numpy as np

from actors.experts.scripts.jaco_arm import JacoArm
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

# The part of the observation that holds the brick's target position; None to lift the brick.
GOALS = {
    "lift_brick_features": None,
    "place_brick_features": "pedestal/position",
    "place_cradle_features": "pedestal/position",
}
BRICK, HAND = "duplo2x4", "jaco_arm/jaco_hand"
GAIN, TURN_GAIN, DAMPING = 12.0, 6.0, 0.03  # 1/s, 1/s, m
FALL = 0.25  # greatest vertical speed of the hand in m/s, so that it is in place sideways first
CLOSE_SPEED, FINGER_GAIN = 5.0, 20.0  # rad/s, 1/s
APART, WIDE, CLOSED, STILL = 0.45, 0.15, 0.8, 0.3  # of the fingers, in rad; the last in rad/s
# Position of a held brick in the frame of the hand's pinch site, and its tolerance, in metres.
SEAT, SLACK = np.array([0.0, -0.014, 0.006]), np.array([0.022, 0.03, 0.014])
ABOVE, LIFT_TO, OFF_TABLE = 0.08, 0.45, 0.03  # metres
# Tolerances of the hand's position (metres) and rotation (radians) at the brick, and metres of height per excess.
ALIGNED, FUNNEL, STRAIGHT, TURNING = 0.006, 10.0, 0.12, 0.5
CLEAR, RESTS, RELEASE, AWAY = 0.08, 0.03, 0.035, 0.25  # metres above the target


@dataclasses.dataclass(frozen=True, kw_only=True)
class GraspState:
    """The hand and the brick in one observation: float64, in metres, radians and world coordinates.

    Attributes:
        hand: position of the hand, [3].
        frame: axes of the hand as columns, [3, 3].
        fingers: angles of the fingers, [3]; 0 is wide open.
        finger_speeds: their velocities, [3].
        brick: position of the brick, [3].
        brick_frame: axes of the brick as columns, [3, 3].
        target: position where the brick goes, [3]; None to lift it.
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
        """Reads the state of environment `row`. `target` names the part that holds the target position."""

        def part(name: str) -> np.ndarray:
            return np.asarray(observations[name][row], np.float64)

        return cls(
            hand=part(f"{HAND}/pinch_site_pos"),
            frame=part(f"{HAND}/pinch_site_rmat").reshape(3, 3),
            fingers=part(f"{HAND}/joints_pos"),
            finger_speeds=part(f"{HAND}/joints_vel"),
            brick=part(f"{BRICK}/position"),
            brick_frame=axes(part(f"{BRICK}/orientation")),
            target=None if target is None else part(target),
        )

    @property
    def grip(self) -> np.ndarray:
        """The axes of the hand for a grip, [3, 3]: fingers down, closing along the brick's first axis."""
        across = self.brick_frame[:, 0] * np.array([1.0, 1.0, 0.0])
        across = across / (np.linalg.norm(across) + 1e-9)
        if across @ self.frame[:, 0] < 0:
            across = -across
        down = np.array([0.0, 0.0, -1.0])
        return np.stack([across, np.cross(down, across), down], axis=1)

    @property
    def off_seat(self) -> np.ndarray:
        """The brick's offset from its position in a grip, in the hand's axes, [3]."""
        return self.frame.T @ (self.brick - self.hand) - SEAT

    @property
    def above(self) -> float:
        """The height at which the hand is clear of the brick and of the pedestal."""
        return float(self.brick[2] if self.target is None else max(self.brick[2], self.target[2])) + ABOVE

    @property
    def seated(self) -> bool:
        """Whether closing fingers would hold the brick."""
        return bool(np.all(np.abs(self.off_seat) < SLACK))

    @property
    def held(self) -> bool:
        """Whether the fingers hold the brick."""
        stopped = self.fingers.mean() > CLOSED and np.abs(self.finger_speeds).max() < STILL
        return self.seated and bool(stopped or (self.brick[2] > OFF_TABLE and self.fingers.mean() > CLOSED))


@dataclasses.dataclass(frozen=True)
class HandCommand:
    """A target for the hand.

    Attributes:
        position: of the hand, in metres, [3].
        frame: axes of the hand as columns, [3, 3].
        fingers: velocities of the fingers in rad/s, [3]; positive closes.
    """

    position: np.ndarray
    frame: np.ndarray
    fingers: np.ndarray


def next_command(state: GraspState) -> HandCommand:
    """Decides the stage of the grasp, and returns the command of that stage."""
    if state.target is not None and _is_placed(state, state.target):
        return _leave(state)
    if state.held:
        return _carry(state)
    if state.seated and state.fingers.max() > APART / 2:
        return HandCommand(state.hand, state.grip, np.full(3, CLOSE_SPEED))
    return _approach(state)


def _approach(state: GraspState) -> HandCommand:
    """Moves the hand above the brick, and down once it is above it, rotated and open."""
    over = state.brick - state.grip @ SEAT
    aside = np.linalg.norm((over - state.hand)[:2])
    turned = np.linalg.norm(rotation(state.grip @ state.frame.T))
    top = state.above - state.brick[2]
    higher = FUNNEL * (aside - ALIGNED), TURNING * (turned - STRAIGHT), FUNNEL * (state.fingers.max() - APART - 0.15)
    position = over + np.array([0.0, 0.0, np.clip(max(higher), 0, top)])
    if aside > 3 * ALIGNED and state.hand[2] < over[2] + top / 2:
        position[:2] = state.hand[:2]  # up first, so that the hand does not push the brick
    return HandCommand(position, state.grip, FINGER_GAIN * (APART - state.fingers))


def _carry(state: GraspState) -> HandCommand:
    """Lifts the brick, or moves it above the target and down."""
    closing = np.full(3, CLOSE_SPEED)
    if state.target is None:
        return HandCommand(np.append(state.hand[:2], LIFT_TO), state.grip, closing)
    way = state.target - state.brick
    aside = np.linalg.norm(way[:2])
    if aside > RESTS and way[2] > -CLEAR / 2:
        way = np.append(0 * way[:2], way[2] + CLEAR)  # up first, so that the brick does not hit the pedestal
    elif aside > RESTS / 2:
        way[2] += CLEAR
    return HandCommand(state.hand + way, state.grip, closing)


def _is_placed(state: GraspState, target: np.ndarray) -> bool:
    way = state.brick - target
    return bool(np.linalg.norm(way[:2]) < RESTS and way[2] < RELEASE)


def _leave(state: GraspState) -> HandCommand:
    """Opens the hand, and then moves it up and away."""
    free = state.fingers.max() < APART or not state.seated
    position = np.append(state.hand[:2], state.brick[2] + AWAY) if free else state.hand
    return HandCommand(position, state.grip, FINGER_GAIN * (WIDE - state.fingers))


class GraspScript(Policy):
    """Grasps the brick, with actions that depend on the current observation alone.

    Args:
        env: dm_control's name of the task, a key of GOALS.
        limits: greatest joint velocities in rad/s, float [9]; the last three are those of the fingers.
    """

    def __init__(self, env: str, limits: np.ndarray) -> None:
        self._env, self._target, self._limits = env, GOALS[env], limits
        self.arm = JacoArm(env, limits)

    def reset(self, env_ids: np.ndarray) -> None:
        """Does nothing: scripts have no state."""

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Returns joint velocities in rad/s within the limits, float32 [N, 9]."""
        actions = np.zeros((len(active), 9))
        angles = self.arm.angles(observations)
        for i in np.flatnonzero(active):
            state = GraspState.of(observations, int(i), self._target)
            command = next_command(state)
            turn = rotation(command.frame @ state.frame.T)
            way = GAIN * (command.position - state.hand)
            way[2] = np.clip(way[2], -FALL, FALL)
            motion = np.concatenate([way, TURN_GAIN * turn])
            actions[i, :6] = self.arm.speeds(self.arm.jacobian(angles[i]), motion, DAMPING)
            actions[i, 6:] = command.fingers
        return np.clip(actions, -self._limits, self._limits).astype(np.float32)

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Returns the script's actions in these states, whichever policy acts: float32 [N, 9]."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": f"grasp {self._env}", "kind": "scripted", "version": 1}


def axes(quaternion: np.ndarray) -> np.ndarray:
    """Returns the rotation matrix, [3, 3], of a quaternion (w, x, y, z): the rotated axes as columns."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def rotation(frame: np.ndarray) -> np.ndarray:
    """Returns the rotation vector in radians, [3], of a rotation matrix, [3, 3], of less than half a turn."""
    skew = np.array([frame[2, 1] - frame[1, 2], frame[0, 2] - frame[2, 0], frame[1, 0] - frame[0, 1]])
    sine = np.linalg.norm(skew) / 2
    angle = np.arctan2(sine, (np.trace(frame) - 1) / 2)
    return skew / 2 * (angle / sine if sine > 1e-9 else 1.0)
