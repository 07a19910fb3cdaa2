"""What a window shows of past actions, and what the loss asks for, where an expert corrects what was done."""

import numpy as np
import pytest

from gato_dist.model.inputs import LossTargets
from gato_dist.sequence import Kind, Sequences, collate
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.packing import Packer, Prompting
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations, tokenizer_of

# Two elements, so that an action's first element leads its second.
PAIRS = TaskSpec(
    "toy/pairs",
    (ObservationSpec("light", Modality.DISCRETE, (), 9),),
    ActionSpec(Modality.DISCRETE, (2,), num_values=(9, 9)),
    max_steps=20,
)
DONE = np.array([[1, 2], [3, 4], [5, 6]])
WANTED = np.array([[1, 2], [7, 8], [6, 5]])


def pack(window: int, actions=DONE, targets=WANTED, length: int = 12, **options) -> Sequences:
    tokenizer = tokenizer_of(PAIRS, "paper")
    light = {"light": np.arange(len(actions))}
    packer = Packer(tokenizer, length=length, window_steps=window, seed=0, **options)
    rows = packer.add(tokenizer.encode(light, actions, targets))
    return rows if rows is not None else packer.flush()


def tokens_of(rows: Sequences, row: int = 0) -> tuple[list[int], list[int]]:
    """What is shown and what is asked for at the actions of a row, as values."""
    here = rows.kind[row] >= Kind.ACTION
    offset = tokenizer_of(PAIRS, "paper").action_offset
    shown = rows.token[row][here] - offset
    return shown.tolist(), (shown + rows.correction[row][here]).tolist()


def test_a_window_of_two_steps_written_out():
    """Steps 1 and 2 of the episode: at 1 the policy did (3, 4) where the expert would (7, 8); at 2 (5, 6), not (6, 5).

    Step 2 sees that (3, 4) was done. Nothing sees what step 2 did but its own second element, which the expert's first
    element leads, as in a demonstration.
    """
    tokenizer = tokenizer_of(PAIRS, "paper")
    packer = Packer(tokenizer, length=8, window_steps=0, seed=0)
    packer.add(tokenizer.encode({"light": np.array([1, 2])}, DONE[1:], WANTED[1:]))
    rows = packer.flush()
    words, separator = tokenizer.vocabulary, tokenizer.vocabulary.separator
    light, act = words.discrete, tokenizer.action_offset
    assert rows.token[0].tolist() == [
        light + 1, separator, act + 3, act + 4,
        light + 2, separator, act + 6, act + 5,
    ]  # fmt: skip
    assert rows.correction[0].tolist() == [0, 0, 4, 4, 0, 0, 0, 0]
    assert rows.loss_mask[0].tolist() == [False, False, True, True] * 2
    targets = LossTargets.from_batch(collate([(0, rows)], 0))
    assert targets.token.tolist() == [act + 7, act + 8, act + 6, act + 5]


def test_windows_of_one_step_are_those_of_a_demonstration():
    corrected, demonstrated = pack(1), pack(1, WANTED, WANTED)
    for name, values in corrected.item(0).items():
        assert np.array_equal(values, demonstrated.item(0)[name]), name
    assert not corrected.correction.any()


def test_every_step_that_another_follows_in_its_window_shows_what_was_done():
    shown, asked = tokens_of(pack(0))
    assert shown == [1, 2, 3, 4, 6, 5]
    assert asked == WANTED.ravel().tolist()


def test_a_window_that_a_row_cuts_shows_its_new_last_action_as_the_expert_would_have_it():
    rows = pack(0, length=8)
    assert tokens_of(rows) == ([1, 2, 7, 8], [1, 2, 7, 8])


def test_a_prompt_shows_what_was_done_and_carries_no_loss():
    tokenizer = tokenizer_of(PAIRS, "paper")
    packer = Packer(tokenizer, length=24, window_steps=0, seed=0, prompting=Prompting(1.0, 12))
    found = []
    for _ in range(6):
        rows = packer.add(tokenizer.encode({"light": np.arange(3)}, DONE, WANTED))
        found += [(rows, row) for row in range(len(rows) if rows is not None else 0)]
    led = [(rows, row) for rows, row in found if not rows.loss_mask[row][rows.kind[row] >= Kind.ACTION][0]]
    assert led
    for rows, row in led:
        quiet = (rows.kind[row] >= Kind.ACTION) & ~rows.loss_mask[row]
        shown = (rows.token[row][quiet] - tokenizer.action_offset).reshape(-1, 2)
        assert {tuple(pair) for pair in shown.tolist()} <= {tuple(pair) for pair in DONE.tolist()}


@pytest.mark.parametrize("encoding", ["paper", "compact"])
def test_continuous_actions_are_corrected_in_bins(encoding):
    tokenizer, done, wanted = tokenizer_of(ARM, encoding), arm_actions(6, 0), arm_actions(6, 1)
    steps = tokenizer.encode(arm_observations(6), done, wanted)
    plain, asked = (tokenizer.encode(arm_observations(6), each) for each in (done, wanted))
    assert np.array_equal(steps.token, plain.token)
    assert np.array_equal(steps.token + steps.correction, asked.token)


def test_repeats_are_told_by_what_the_expert_would_do():
    held = np.array([0, 0, 1, 1, 1, 1])
    tokenizer, restless = tokenizer_of(BUTTONS), np.array([0, 1, 2, 0, 1, 2])
    rows = []
    for actions in (restless, held):
        packer = Packer(tokenizer, length=64, window_steps=1, seed=0, keep_repeats=0.0)
        packer.add(tokenizer.encode({"light": np.zeros(6, int)}, actions, held))
        rows.append(packer.flush())
    assert rows[0].tokens == rows[1].tokens < 6 * 3
