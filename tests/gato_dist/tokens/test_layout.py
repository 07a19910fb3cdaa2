"""The tokens of a time step: order, ids and positions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_dist.sequence import Kind
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.patches import from_patches, patch_intervals, to_patches
from gato_dist.tokens.step_size import tensor_width
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.values import encode_continuous
from gato_dist.tokens.vocabulary import Vocabulary
from tests.support.fakes import ARM, arm_actions, arm_observations, tokenizer_of


def test_a_step_is_text_patches_tensors_separator_actions():
    steps = tokenizer_of(ARM, "paper").encode(arm_observations(2), arm_actions(2))
    kinds = steps.kind[1][steps.valid[1]]
    expected = [Kind.TEXT] * 5 + [Kind.PATCH] * 2 + [Kind.DISCRETE] + [Kind.CONTINUOUS] * 3 + [Kind.SEPARATOR]
    assert kinds.tolist() == expected + [Kind.ACTION_CONTINUOUS] * 2


def test_the_compact_encoding_uses_one_token_for_a_tensor():
    steps = tokenizer_of(ARM, "compact").encode(arm_observations(1))
    kinds = steps.kind[0][steps.valid[0]]
    assert kinds.tolist()[-4:] == [Kind.PATCH, Kind.GRID, Kind.TENSOR, Kind.SEPARATOR]
    assert steps.tensors.shape == (1, 2, 4)


def test_observation_tokens_are_numbered_in_their_step_and_actions_in_their_action():
    steps = tokenizer_of(ARM, "paper").encode(arm_observations(2), arm_actions(2))
    for step in range(2):
        local = steps.local_position[step][steps.valid[step]]
        assert local.tolist() == [*range(len(local) - 2), 0, 1]


def test_token_ids_lie_in_the_documented_ranges():
    paper, disjoint = Vocabulary(32000, "paper"), Vocabulary(32000, "disjoint")
    assert (paper.discrete, paper.continuous, paper.separator) == (0, 32000, 33024)
    assert (paper.action(Modality.DISCRETE), paper.action(Modality.CONTINUOUS)) == (0, 32000)
    assert (disjoint.discrete, disjoint.continuous, disjoint.separator) == (32000, 32000, 34048)
    assert disjoint.action(Modality.DISCRETE) == disjoint.action(Modality.CONTINUOUS) == 33024


def test_the_paper_vocabulary_refuses_overlapping_ranges():
    with pytest.raises(ValueError, match="text_size"):
        Vocabulary(360, "paper")


def test_values_are_encoded_by_the_papers_formulas():
    tokenizer = tokenizer_of(ARM, "paper")
    observations = arm_observations(3)
    steps = tokenizer.encode(observations, arm_actions(3))
    numbers = steps.token[steps.kind == Kind.CONTINUOUS].reshape(3, 3)
    assert (numbers == encode_continuous(observations["pose"]) + tokenizer.vocabulary.continuous).all()


def test_actions_round_trip_within_a_bin():
    tokenizer = tokenizer_of(ARM)
    actions = arm_actions(40)
    steps = tokenizer.encode(arm_observations(40), actions)
    back = tokenizer.decode_actions(steps.token[steps.kind == Kind.ACTION_CONTINUOUS].reshape(40, 2))
    assert np.abs(back - actions).max(0) == pytest.approx([0, 0], abs=4 / 2048 + 1e-6)


def test_nan_is_refused_and_task_and_part_are_named():
    observations = arm_observations(2)
    observations["pose"][1, 2] = np.nan
    for encoding in ("paper", "compact"):
        with pytest.raises(ValueError, match="toy/arm, pose"):
            tokenizer_of(ARM, encoding).encode(observations)


def test_integers_outside_their_range_are_refused():
    observations = arm_observations(2)
    observations["gripper"][0] = 4
    with pytest.raises(ValueError, match=r"toy/arm, gripper.*\[0, 4\)"):
        tokenizer_of(ARM).encode(observations)


def test_patches_are_in_raster_order_and_round_trip():
    image = np.arange(2 * 32 * 48 * 3, dtype=np.uint8).reshape(2, 32, 48, 3)
    patches = to_patches(image)
    assert (patches[0, 4] == image[0, 16:32, 16:32]).all()
    assert (from_patches(patches, 32, 48) == image).all()


def test_patch_intervals_tile_the_image():
    # 64×80: 4 sequences of 32 bins; 5 columns of 25.6, whose ends are rounded down to bins.
    places = patch_intervals(64, 80)
    assert places[0].tolist() == [[0, 31], [0, 24]]
    assert places[7].tolist() == [[32, 63], [51, 75]]
    assert places[19].tolist() == [[96, 127], [102, 127]]


def test_image_sides_must_be_multiples_of_a_patch():
    with pytest.raises(ValueError, match="multiples of 16"):
        patch_intervals(60, 80)


def test_a_multi_discrete_action_has_a_range_for_each_element():
    spec = TaskSpec(
        "toy/keys",
        (ObservationSpec("light", Modality.DISCRETE, (), 3),),
        ActionSpec(Modality.DISCRETE, (3,), (2, 5, 3)),
        9,
    )
    tokenizer = tokenizer_of(spec)
    actions = np.array([[1, 4, 0], [0, 2, 2]])
    steps = tokenizer.encode({"light": np.zeros(2, int)}, actions)
    tokens = steps.token[steps.kind == Kind.ACTION].reshape(2, 3)
    assert (tokenizer.decode_actions(tokens) == actions).all()
    first = tokenizer.action_offset
    assert tokenizer.action_ranges == [(first, first + 2), (first, first + 5), (first, first + 3)]
    with pytest.raises(ValueError, match=r"toy/keys, action.*\[0, 2\), got 2"):
        tokenizer.encode({"light": np.zeros(1, int)}, np.array([[2, 0, 0]]))


def test_parts_are_sorted_by_modality_and_name():
    shuffled = TaskSpec(ARM.name, ARM.observations[::-1], ARM.action, ARM.max_steps)
    assert [part.name for part in shuffled.observations] == ["mission", "camera", "gripper", "pose"]


def test_texts_of_unequal_length_are_padded():
    observations = arm_observations(3)
    observations["mission"] = ["a", "go to the red ball", ""]
    steps = tokenizer_of(ARM).encode(observations)
    assert [int((row == Kind.TEXT)[valid].sum()) for row, valid in zip(steps.kind, steps.valid, strict=True)][1] == 5
    for row in range(3):
        ids = steps.token[row][steps.valid[row] & (steps.kind[row] == Kind.TEXT)]
        assert TextTokenizer.load().decode(ids.tolist()) == observations["mission"][row]


MISSIONS = st.text(alphabet="abc dé", max_size=12)
FLOATS = st.floats(-300, 300, width=32)


@st.composite
def episodes(draw):
    """Draws observations and actions of an arm that also observes a large and a small integer."""
    steps = draw(st.integers(1, 4))
    seen = arm_observations(steps, draw(st.integers(0, 9)))
    seen["mission"] = draw(st.lists(MISSIONS, min_size=steps, max_size=steps))
    seen["pose"] = np.array(draw(st.lists(st.lists(FLOATS, min_size=3, max_size=3), min_size=steps, max_size=steps)))
    seen["count"] = np.array(draw(st.lists(st.integers(0, 99), min_size=steps, max_size=steps)))
    return seen, arm_actions(steps, draw(st.integers(0, 9)))


COUNTING_ARM = TaskSpec(
    ARM.name, (*ARM.observations, ObservationSpec("count", Modality.DISCRETE, (), 100)), ARM.action, ARM.max_steps
)


@given(episodes(), st.sampled_from(["paper", "compact"]), st.booleans())
def test_an_episode_round_trips_through_tokens(episode, encoding, acted):
    seen, actions = episode
    tokenizer = tokenizer_of(COUNTING_ARM, encoding)
    found, done = tokenizer.decode(tokenizer.encode(seen, actions if acted else None))
    assert found["mission"] == seen["mission"]
    for name in ("camera", "gripper", "count"):
        assert np.array_equal(found[name], seen[name])
    if encoding == "paper":
        assert (encode_continuous(found["pose"]) == encode_continuous(seen["pose"])).all()
    else:
        assert found["pose"] == pytest.approx(np.clip(seen["pose"], -10, 10), abs=1e-5)
    assert (done is not None) == acted
    if acted:
        assert np.abs(done - actions).max(0) == pytest.approx([0, 0], abs=4 / 2048 + 1e-6)


BOARD = TaskSpec(
    "toy/board",
    (
        ObservationSpec("board", Modality.DISCRETE, (3, 2, 2), 5),
        ObservationSpec("clock", Modality.DISCRETE, (2,), 9),
    ),
    ActionSpec(Modality.DISCRETE, num_values=(2,)),
    max_steps=20,
)


def test_a_grid_takes_one_token_for_each_row_and_round_trips():
    tokenizer, boards = tokenizer_of(BOARD, "compact"), np.arange(48).reshape(4, 3, 2, 2) % 5
    steps = tokenizer.encode({"board": boards, "clock": np.arange(8).reshape(4, 2)}, np.array([0, 1, 1, 0]))
    assert steps.kind[0].tolist() == [Kind.GRID] * 4 + [Kind.SEPARATOR, Kind.ACTION]
    assert steps.tensors[1].tolist() == [[2, 3, 4, 0], [1, 2, 3, 4], [0, 1, 2, 3], [2, 3, 0, 0]]
    assert tensor_width(BOARD, "compact") == 4
    found, _ = tokenizer.decode(steps)
    assert np.array_equal(found["board"], boards)
    assert found["clock"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_integers_too_large_for_a_grid_take_one_token_each():
    steps = tokenizer_of(COUNTING_ARM, "compact").encode(arm_observations(2) | {"count": np.array([15, 99])})
    assert steps.tensors.shape[1] == 2
    assert (steps.token[steps.kind == Kind.DISCRETE] - tokenizer_of(ARM).vocabulary.discrete).tolist() == [15, 99]


@pytest.mark.parametrize("bad", [2.5, np.nan, 2.0**32 + 1, -0.5])
def test_fractions_and_nan_are_refused_before_they_are_cast_to_integers(bad):
    observations = arm_observations(2) | {"gripper": np.array([1.0, bad])}
    with pytest.raises(ValueError, match="toy/arm, gripper"):
        tokenizer_of(ARM).encode(observations)
