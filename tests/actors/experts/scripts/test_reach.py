"""The arm's script for reaching: the Jacobian agrees with the environment, and the hand reaches the target."""

import numpy as np
import pytest

from actors.evaluate import evaluate_expert
from actors.experts.registry import make_expert
from gato_dist.scores.references import load_reference


def test_the_jacobian_predicts_how_the_hand_moves():
    made = make_expert("manipulation/reach-duplo", [5])
    now = made.env.reset()
    hands, ways = [], []
    for _ in range(12):
        joints = now.observations["jaco_arm/joints_pos"].reshape(6, 2)
        angles = np.arctan2(joints[:, 0], joints[:, 1])
        hands.append(now.observations["jaco_arm/jaco_hand/pinch_site_pos"][0])
        ways.append((made.policy.arm.jacobian(angles)[:3], angles))
        now = made.env.step(made.policy.label(now.observations, np.ones(len(made.env.seeds), bool)))
    made.env.close()
    for i in range(4, 11):
        turned = ways[i + 1][1] - ways[i][1]
        assert hands[i + 1] - hands[i] == pytest.approx(ways[i][0] @ turned, abs=1e-3)


def test_speeds_stay_within_the_limits_and_the_fingers_rest():
    made = make_expert("manipulation/reach-site", [6, 7])
    now = made.env.reset()
    actions = made.policy.act(now.observations, {}, np.array([True, False]))
    made.env.close()
    assert np.all(np.abs(actions) <= np.asarray(made.env.spec.action.high) + 1e-6)
    assert np.any(actions[0] != 0)
    assert not np.any(actions[1])
    assert not np.any(actions[:, 6:])


def test_the_hand_reaches_the_target():
    played = evaluate_expert("manipulation/reach-site", 2, seed=3)
    reference = load_reference("manipulation/reach-site").expert
    assert np.mean([episode.episode_return for episode in played]) == pytest.approx(
        reference.mean, abs=4 * reference.std
    )
    assert {episode.provenance.policy_hash for episode in played} == {reference.policy_hash}
