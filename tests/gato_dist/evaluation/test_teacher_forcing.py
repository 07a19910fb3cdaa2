"""What a model predicts on an expert's path, counted by hand and against a model that is known."""

import numpy as np
import pytest
import torch

from gato_dist.config.training_sections import ModelConfig
from gato_dist.episode import Episode, Provenance
from gato_dist.evaluation.teacher_forcing import Forced, agreement, following, force
from gato_dist.model.gato import Gato
from gato_dist.specs import TaskSpec
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations, tokenizer_of


def forced(predicted, target, before, tolerance=0, values=False) -> Forced:
    predicted, target = np.array(predicted)[:, None], np.array(target)[:, None]
    units = (predicted / 10.0, target / 10.0) if values else (None, None)
    return Forced(predicted, target, np.full(target.shape, 0.25), np.array(before), tolerance, *units)


def test_copying_shows_where_the_expert_changes_its_action():
    """The expert does 0 0 0 1 1 2; the prediction is always the action before it, and right at first."""
    past = following(forced([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2], [-1, 0, 1, 2, 3, 4]))
    assert (past.expert_repeats, past.predicted_repeats) == (3 / 5, 1.0)
    assert (past.changes, past.copies_at_changes, past.right_at_changes) == (2, 1.0, 0.0)
    assert past.right_at_repeats == 1.0


def test_a_window_of_one_step_sees_no_past():
    assert following(forced([0, 1], [0, 1], [-1, -1])) is None


def test_errors_are_in_the_actions_units_beside_those_of_repeating():
    (each,) = agreement(forced([0, 30], [10, 20], [-1, 0], tolerance=10, values=True))
    assert (each.greedy, each.sampled) == (1.0, 0.25)
    assert each.error == pytest.approx(1.0)
    assert each.root_mean_square == pytest.approx(1.0)
    assert each.repeating == pytest.approx(1.0)
    assert each.spread == pytest.approx(0.5)


def test_discrete_actions_have_shares_and_no_errors():
    (each,) = agreement(forced([0, 1, 1, 1], [0, 1, 2, 3], [-1, 0, 1, 2]))
    assert (each.greedy, each.error, each.spread) == (0.5, None, None)


def episode(spec: TaskSpec, observations, actions) -> Episode:
    steps = len(actions)
    return Episode(
        observations, actions, actions, np.zeros(steps, np.float32), True, None, Provenance(spec.name, 0, "e", "h")
    )


def small_model(tokenizer, past_actions="shown") -> Gato:
    torch.manual_seed(0)
    config = ModelConfig(
        width=16, layers=1, heads=2, key_size=8, feed_forward=32, patch_channels=8, past_actions=past_actions
    )
    return Gato(config, tokenizer.vocabulary.size, tokenizer.tensor_size)


@pytest.mark.parametrize("window", [1, 4])
def test_every_step_is_predicted_once_with_the_step_before_of_its_window(window):
    tokenizer = tokenizer_of(ARM)
    actions = [arm_actions(9, seed) for seed in (1, 2)]
    found = force(
        small_model(tokenizer), tokenizer, 128, window, [episode(ARM, arm_observations(9), each) for each in actions]
    )
    assert found.target.shape == (18, 2)
    distance = np.abs(found.target_values[:, None] - np.concatenate(actions)[None]).sum(-1)
    step = distance.argmin(1)  # of both episodes, 0 … 17
    assert sorted(step) == list(range(18))
    assert distance.min(1).max() < 0.01
    seen = found.before >= 0
    assert seen.any() == (window > 1)
    assert (step[found.before[seen]] == step[seen] - 1).all()
    assert 9 not in step[seen]  # the second episode's first step


def test_chances_of_all_buttons_and_the_mass_near_a_bin_add_up():
    tokenizer = tokenizer_of(BUTTONS)
    model = small_model(tokenizer)
    with torch.no_grad():
        model.head.weight.zero_()  # every token as likely as any
    actions = np.array([0, 1, 2, 2])
    found = force(model, tokenizer, 32, 0, [episode(BUTTONS, {"light": np.array([0, 1, 2, 0])}, actions)])
    assert found.chance == pytest.approx(1 / 3)
    assert found.predicted_values is None
    arm = tokenizer_of(ARM)
    model = small_model(arm)
    with torch.no_grad():
        model.head.weight.zero_()
    low = np.tile([-1.0, 2.0], (3, 1))
    found = force(model, arm, 128, 1, [episode(ARM, arm_observations(3), low)])
    # 17 bins lie within 16 of the lowest, 33 of one in the middle.
    assert found.chance == pytest.approx(np.tile([17 / 1024, 33 / 1024], (3, 1)))
