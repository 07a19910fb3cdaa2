"""Tokens and targets if an expert corrects the actions that a policy took."""

import numpy as np
import pytest

from gato_dist.model.inputs import LossTargets
from gato_dist.sequence import Kind, Sequences, collate
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.packing import Packer, Prompting
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations, tokenizer_of

# Two elements, so that the first action token precedes the second.
PAIRS = TaskSpec(
    "toy/pairs",
    (ObservationSpec("light", Modality.DISCRETE, (), 9),),
    ActionSpec(Modality.DISCRETE, (2,), num_values=(9, 9)),
    max_steps=20,
)
TAKEN = np.array([[1, 2], [3, 4], [5, 6]])
TARGETS = np.array([[1, 2], [7, 8], [6, 5]])


def pack(window: int, actions=TAKEN, targets=TARGETS, length: int = 12, **options) -> Sequences:
    tokenizer = tokenizer_of(PAIRS, "paper")
    light = {"light": np.arange(len(actions))}
    packer = Packer(tokenizer, length=length, window_steps=window, seed=0, **options)
    sequences = packer.add(tokenizer.encode(light, actions, targets))
    return sequences if sequences is not None else packer.flush()


def tokens_of(sequences: Sequences, row: int = 0) -> tuple[list[int], list[int]]:
    """Returns the action tokens and the target tokens of a sequence, as action values."""
    here = sequences.kind[row] >= Kind.ACTION
    offset = tokenizer_of(PAIRS, "paper").action_offset
    shown = sequences.token[row][here] - offset
    return shown.tolist(), (shown + sequences.correction[row][here]).tolist()


def test_tokens_and_targets_of_a_window_of_two_steps():
    """In the first step the policy took (3, 4) and the target is (7, 8); in the second, (5, 6) and (6, 5).

    The second step sees the action taken, (3, 4). No later step sees the second action. So its second token follows
    the target's first token, as in a demonstration.
    """
    tokenizer = tokenizer_of(PAIRS, "paper")
    packer = Packer(tokenizer, length=8, window_steps=0, seed=0)
    packer.add(tokenizer.encode({"light": np.array([1, 2])}, TAKEN[1:], TARGETS[1:]))
    sequences = packer.flush()
    separator = tokenizer.vocabulary.separator
    light, act = tokenizer.vocabulary.discrete, tokenizer.action_offset
    assert sequences.token[0].tolist() == [
        light + 1, separator, act + 3, act + 4,
        light + 2, separator, act + 6, act + 5,
    ]  # fmt: skip
    assert sequences.correction[0].tolist() == [0, 0, 4, 4, 0, 0, 0, 0]
    assert sequences.loss_mask[0].tolist() == [False, False, True, True] * 2
    targets = LossTargets.from_batch(collate([(0, sequences)], 0))
    assert targets.token.tolist() == [act + 7, act + 8, act + 6, act + 5]


def test_windows_of_one_step_equal_those_of_a_demonstration():
    corrected, demonstrated = pack(1), pack(1, TARGETS, TARGETS)
    for name, values in corrected.item(0).items():
        assert np.array_equal(values, demonstrated.item(0)[name]), name
    assert not corrected.correction.any()


def test_steps_followed_by_another_show_the_action_taken():
    shown, asked = tokens_of(pack(0))
    assert shown == [1, 2, 3, 4, 6, 5]
    assert asked == TARGETS.ravel().tolist()


def test_the_last_step_before_the_end_of_a_sequence_shows_the_target_action():
    sequences = pack(0, length=8)
    assert tokens_of(sequences) == ([1, 2, 7, 8], [1, 2, 7, 8])


def test_a_prompt_shows_the_actions_taken_and_carries_no_loss():
    tokenizer = tokenizer_of(PAIRS, "paper")
    packer = Packer(tokenizer, length=24, window_steps=0, seed=0, prompting=Prompting(1.0, 12))
    found = []
    for _ in range(6):
        sequences = packer.add(tokenizer.encode({"light": np.arange(3)}, TAKEN, TARGETS))
        found += [(sequences, row) for row in range(len(sequences) if sequences is not None else 0)]
    prompted = [
        (sequences, row)
        for sequences, row in found
        if not sequences.loss_mask[row][sequences.kind[row] >= Kind.ACTION][0]
    ]
    assert prompted
    for sequences, row in prompted:
        quiet = (sequences.kind[row] >= Kind.ACTION) & ~sequences.loss_mask[row]
        shown = (sequences.token[row][quiet] - tokenizer.action_offset).reshape(-1, 2)
        assert {tuple(pair) for pair in shown.tolist()} <= {tuple(pair) for pair in TAKEN.tolist()}


@pytest.mark.parametrize("encoding", ["paper", "compact"])
def test_continuous_actions_are_corrected_in_bins(encoding):
    tokenizer, done, wanted = tokenizer_of(ARM, encoding), arm_actions(6, 0), arm_actions(6, 1)
    steps = tokenizer.encode(arm_observations(6), done, wanted)
    plain, asked = (tokenizer.encode(arm_observations(6), each) for each in (done, wanted))
    assert np.array_equal(steps.token, plain.token)
    assert np.array_equal(steps.token + steps.correction, asked.token)


def test_repeated_actions_are_recognised_by_the_targets():
    held = np.array([0, 0, 1, 1, 1, 1])
    tokenizer, restless = tokenizer_of(BUTTONS), np.array([0, 1, 2, 0, 1, 2])
    sequences = []
    for actions in (restless, held):
        packer = Packer(tokenizer, length=64, window_steps=1, seed=0, keep_repeats=0.0)
        packer.add(tokenizer.encode({"light": np.zeros(6, int)}, actions, held))
        sequences.append(packer.flush())
    assert sequences[0].tokens == sequences[1].tokens < 6 * 3
