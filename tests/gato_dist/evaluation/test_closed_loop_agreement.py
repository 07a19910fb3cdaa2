"""Agreement with an expert by distance from its states, computed by hand."""

import numpy as np
import pytest

from actors.labelled import LabelledPolicy
from actors.rollout import episodes
from gato_dist.episode import Episode, Provenance
from gato_dist.evaluation.closed_loop_agreement import agreement_by_distance, bins_apart, nearest_distances
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from tests.support.fakes import BUTTONS, CountingEnv, EchoPolicy

LINE = TaskSpec(
    "toy/line", (ObservationSpec("x", Modality.CONTINUOUS, (1,)),), ActionSpec(Modality.DISCRETE, num_values=(2,)), 9
)


def episode(x, actions, targets) -> Episode:
    seen, source = {"x": np.array(x, float)[:, None]}, Provenance(task="toy/line", seed=0, policy="p", policy_hash="h")
    return Episode(seen, np.array(actions), np.array(targets), np.zeros(len(x), np.float32), True, None, source)


def test_agreement_falls_with_the_distance():
    expert = episode([-1, 1], [0, 0], [0, 0])
    own = episode([1, 1.5, 2, 3, 4, 5, 6, 11], [0, 0, 0, 1, 0, 1, 1, 1], [0] * 8)
    bins = agreement_by_distance(LINE, [own], [expert])
    assert [(each.steps, each.agreement, each.mean_error) for each in bins] == [
        (2, 1.0, None), (2, 0.5, None), (2, 0.5, None), (2, 0.0, None),
    ]  # fmt: skip
    spread = np.std([-1, 1, 1, 1.5, 2, 3, 4, 5, 6, 11])
    distances = [distance for each in bins for distance in (each.low, each.high)]
    assert np.array(distances) * spread == pytest.approx([0, 0.5, 1, 2, 3, 4, 5, 10])


def test_errors_of_continuous_actions_are_shares_of_the_range():
    spec = TaskSpec("toy/line", LINE.observations, ActionSpec(Modality.CONTINUOUS, (1,), low=(0.0,), high=(1024.0,)), 9)
    own = episode([1, 2], [[0.5], [0.5]], [[0.5], [512.5]])
    bins = agreement_by_distance(spec, [own], [episode([1], [[0.5]], [[0.5]])])
    assert [(each.agreement, each.mean_error) for each in bins] == [(1.0, 0.0), (0.0, 0.5)]


def test_without_labelled_steps_the_result_is_empty():
    assert agreement_by_distance(LINE, [], [episode([0], [0], [0])]) == []


def test_distances_are_those_to_the_nearest_of_all_states():
    states, path = np.random.default_rng(0).normal(size=(300, 3)), np.random.default_rng(1).normal(size=(40, 3))
    slow = [np.sqrt(((state - path) ** 2).mean(1)).min() for state in states]
    assert nearest_distances(states, path) == pytest.approx(slow)


def test_distances_of_continuous_actions_are_in_bins():
    action = ActionSpec(Modality.CONTINUOUS, (1,), low=(0.0,), high=(1024.0,))
    done, wanted = np.array([[100.5], [100.5], [0.5]]), np.array([[116.5], [117.5], [1000.0]])
    assert bins_apart(action, done, wanted).tolist() == [[16], [17], [1000]]


class Ones(EchoPolicy):
    """Labels every state with action 1, and records the actions that it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[int]] = []

    def label(self, observations, active):
        return np.ones(len(observations["light"]), int)

    def played(self, actions):
        self.seen.append(actions.tolist())


def test_the_actor_acts_and_the_expert_labels_and_sees_what_was_done():
    env, actor, expert = CountingEnv(BUTTONS, [2]), EchoPolicy(), Ones()
    (played,) = episodes(
        env,
        LabelledPolicy(actor, expert),
        Provenance(task="toy/buttons", seed=0, policy="p", policy_hash="h"),
        once=True,
    )
    assert played.actions.tolist() == [0, 1]
    assert played.targets.tolist() == [1, 1]
    assert expert.seen == [[0], [1]]
    assert expert.resets == [[0]]
