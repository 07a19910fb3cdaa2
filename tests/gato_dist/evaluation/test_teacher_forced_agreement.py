"""Predictions on an expert's episodes: statistics computed by hand, and a model whose probabilities are known."""

import numpy as np
import pytest
import torch

from gato_dist.config.training_sections import ModelConfig
from gato_dist.episode import Episode, Provenance
from gato_dist.evaluation.teacher_forced_agreement import (
    TeacherForcedPredictions,
    dimension_agreement,
    predict_teacher_forced,
    repetition_statistics,
)
from gato_dist.model.gato import Gato
from gato_dist.specs import TaskSpec
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations, tokenizer_of


def predictions(predicted, target, previous, tolerance=0, values=False) -> TeacherForcedPredictions:
    predicted, target = np.array(predicted)[:, None], np.array(target)[:, None]
    return TeacherForcedPredictions(
        predicted=predicted,
        target=target,
        probability=np.full(target.shape, 0.25),
        previous=np.array(previous),
        tolerance=tolerance,
        predicted_values=predicted / 10.0 if values else None,
        target_values=target / 10.0 if values else None,
    )


def test_copying_shows_when_the_expert_changes_its_action():
    """The expert does 0 0 0 1 1 2; the prediction is always the previous action, and correct at the first step."""
    past = repetition_statistics(predictions([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2], [-1, 0, 1, 2, 3, 4]))
    assert (past.expert_repeats, past.predicted_repeats) == (3 / 5, 1.0)
    assert (past.changes, past.copies_at_changes, past.correct_at_changes) == (2, 1.0, 0.0)
    assert past.correct_at_repeats == 1.0


def test_windows_of_one_step_have_no_repetition_statistics():
    assert repetition_statistics(predictions([0, 1], [0, 1], [-1, -1])) is None


def test_errors_and_the_error_of_repeating_are_in_the_actions_units():
    (each,) = dimension_agreement(predictions([0, 30], [10, 20], [-1, 0], tolerance=10, values=True))
    assert (each.greedy, each.sampled) == (1.0, 0.25)
    assert each.mean_error == pytest.approx(1.0)
    assert each.rms_error == pytest.approx(1.0)
    assert each.repeat_error == pytest.approx(1.0)
    assert each.expert_std == pytest.approx(0.5)


def test_discrete_actions_have_shares_and_no_errors():
    (each,) = dimension_agreement(predictions([0, 1, 1, 1], [0, 1, 2, 3], [-1, 0, 1, 2]))
    assert (each.greedy, each.mean_error, each.expert_std) == (0.5, None, None)


def episode(spec: TaskSpec, observations, actions) -> Episode:
    steps = len(actions)
    return Episode(
        observations,
        actions,
        actions,
        np.zeros(steps, np.float32),
        True,
        None,
        Provenance(task=spec.name, seed=0, policy="e", policy_hash="h"),
    )


def small_model(tokenizer, past_actions="shown") -> Gato:
    torch.manual_seed(0)
    config = ModelConfig(
        width=16, layers=1, heads=2, key_size=8, feed_forward=32, patch_channels=8, past_actions=past_actions
    )
    return Gato(config, tokenizer.vocabulary.size, tokenizer.tensor_size)


@pytest.mark.parametrize("window", [1, 4])
def test_every_step_is_predicted_once_and_linked_to_the_previous_step_of_its_window(window):
    tokenizer = tokenizer_of(ARM)
    actions = [arm_actions(9, seed) for seed in (1, 2)]
    found = predict_teacher_forced(
        small_model(tokenizer), tokenizer, length=128, window_steps=window,
        episodes=[episode(ARM, arm_observations(9), each) for each in actions],
    )  # fmt: skip
    assert found.target.shape == (18, 2)
    distance = np.abs(found.target_values[:, None] - np.concatenate(actions)[None]).sum(-1)
    step = distance.argmin(1)  # of both episodes, 0 … 17
    assert sorted(step) == list(range(18))
    assert distance.min(1).max() < 0.01
    seen = found.previous >= 0
    assert seen.any() == (window > 1)
    assert (step[found.previous[seen]] == step[seen] - 1).all()
    assert 9 not in step[seen]  # the second episode's first step


def test_probabilities_count_all_bins_within_the_tolerance():
    tokenizer = tokenizer_of(BUTTONS)
    model = small_model(tokenizer)
    with torch.no_grad():
        model.head.weight.zero_()  # every token as likely as any
    actions = np.array([0, 1, 2, 2])
    found = predict_teacher_forced(
        model, tokenizer, length=32, window_steps=0,
        episodes=[episode(BUTTONS, {"light": np.array([0, 1, 2, 0])}, actions)],
    )  # fmt: skip
    assert found.probability == pytest.approx(1 / 3)
    assert found.predicted_values is None
    arm = tokenizer_of(ARM)
    model = small_model(arm)
    with torch.no_grad():
        model.head.weight.zero_()
    low = np.tile([-1.0, 2.0], (3, 1))
    found = predict_teacher_forced(
        model, arm, length=128, window_steps=1, episodes=[episode(ARM, arm_observations(3), low)]
    )
    # 17 bins lie within 16 of the lowest, 33 of one in the middle.
    assert found.probability == pytest.approx(np.tile([17 / 1024, 33 / 1024], (3, 1)))
