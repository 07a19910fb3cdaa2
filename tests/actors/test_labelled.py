"""A policy that acts while an expert labels."""

import numpy as np
import pytest

from actors.labelled import LabelFailed, LabelledPolicy
from tests.support.fakes import EchoPolicy

EVERYWHERE = np.ones(2, bool)
OBSERVATIONS = {"light": np.array([5, 6])}


class Expert(EchoPolicy):
    """Labels everything with 1, and keeps the actions that were taken."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[list[int]] = []

    def label(self, observations, active):
        return np.ones(len(active), int)

    def played(self, actions):
        self.taken.append(actions.tolist())

    def lost(self):
        return np.array([False, True])


def test_targets_are_the_experts_actions_and_the_expert_gets_the_actions_that_were_taken():
    expert = Expert()
    policy = LabelledPolicy(EchoPolicy(), expert)
    actions = policy.act(OBSERVATIONS, {}, EVERYWHERE)
    assert actions.tolist() == [5, 6]
    assert policy.targets(actions).tolist() == [1, 1]
    assert expert.taken == [[5, 6]]
    assert np.asarray(policy.lost()).tolist() == [False, True]


def test_the_expert_acts_where_it_should():
    policy = LabelledPolicy(EchoPolicy(), Expert(), expert_acts=np.array([True, False]))
    assert policy.act(OBSERVATIONS, {}, EVERYWHERE).tolist() == [1, 6]


def test_a_policy_that_cannot_label_fails_with_its_name():
    policy = LabelledPolicy(EchoPolicy(), EchoPolicy())
    with pytest.raises(LabelFailed, match="EchoPolicy cannot label"):
        policy.act(OBSERVATIONS, {}, EVERYWHERE)
