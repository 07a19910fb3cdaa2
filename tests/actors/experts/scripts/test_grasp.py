"""The arm's script for bricks: the stages of a grasp, and that it lifts a brick."""

import numpy as np
import pytest

from actors.evaluate import evaluate_expert
from actors.experts.registry import make_expert
from actors.experts.scripts.grasp import CLOSE_SPEED, LIFT_TO, SEAT, GraspState, axes, next_command, rotation

ACROSS = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # a brick a quarter turn round
DOWN = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # a hand over it, fingers down and across
OVER = np.array([0.0, 0.0, 0.02])
TABLE = np.array([0.02, -0.03, 0.012])


def grasp_state(above=0.0, aside=0.0, fingers=0.6, moving=0.0, brick=TABLE, target=None) -> GraspState:
    """A hand so many metres above the place where the brick sits in it, and to its side."""
    hand = brick - DOWN @ SEAT + [aside, 0, above]
    speeds = np.full(3, moving)
    goal = None if target is None else np.asarray(target, float)
    return GraspState(
        hand=hand,
        frame=DOWN,
        fingers=np.full(3, fingers),
        finger_speeds=speeds,
        brick=brick,
        brick_frame=ACROSS,
        target=goal,
    )


def test_the_hand_approaches_from_above_with_open_fingers():
    far = next_command(grasp_state(above=0.3, aside=0.1))
    assert far.position[2] > TABLE[2] + 0.05
    over = next_command(grasp_state(above=0.07))
    assert over.position == pytest.approx(grasp_state().hand)
    beside = grasp_state(above=0.01, aside=0.06)
    assert next_command(beside).position[:2] == pytest.approx(beside.hand[:2])
    assert np.all(next_command(grasp_state(above=0.07, fingers=1.3)).fingers < 0)


def test_the_fingers_close_before_the_hand_lifts():
    closing = next_command(grasp_state(fingers=0.9, moving=1.0))
    assert closing.position == pytest.approx(grasp_state().hand)
    assert np.all(closing.fingers == CLOSE_SPEED)
    lifting = next_command(grasp_state(fingers=1.1))
    assert lifting.position[2] == LIFT_TO
    assert np.all(lifting.fingers == CLOSE_SPEED)


def test_the_brick_is_carried_above_the_pedestal_then_lowered_and_released():
    target, hold = np.array([0.1, 0.1, 0.1]), {"fingers": 1.1, "target": (0.1, 0.1, 0.1)}
    low = grasp_state(brick=np.array([0.0, 0.0, 0.05]), **hold)
    assert next_command(low).position[:2] == pytest.approx(low.hand[:2])
    high = grasp_state(brick=np.array([0.0, 0.0, 0.2]), **hold)
    assert next_command(high).position - high.hand == pytest.approx([0.1, 0.1, -0.02])
    there = grasp_state(brick=target + OVER, **hold)
    assert next_command(there).position == pytest.approx(there.hand)
    assert np.all(next_command(there).fingers < 0)
    left = grasp_state(brick=target + OVER, fingers=0.2, target=target)
    assert next_command(left).position[2] > left.hand[2] + 0.1


def test_rotation_returns_axis_times_angle():
    turned = axes(np.array([np.cos(0.3), 0.0, 0.0, np.sin(0.3)]))
    assert rotation(turned) == pytest.approx([0, 0, 0.6])
    assert rotation(np.eye(3)) == pytest.approx(np.zeros(3))


def test_the_script_lifts_a_brick():
    (played,) = evaluate_expert("manipulation/lift-brick", 1, seed=3)
    assert played.episode_return > 100


def test_labels_are_the_scripts_actions_in_active_environments():
    made = make_expert("manipulation/lift-brick", [3, 4])
    try:
        observations, active = made.env.reset().observations, np.array([True, False])
        labels = made.policy.label(observations, active)
        assert labels == pytest.approx(made.policy.act(observations, {}, active))
        assert labels[0].any()
        assert not labels[1].any()
    finally:
        made.env.close()
