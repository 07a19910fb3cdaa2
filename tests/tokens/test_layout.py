"""The order of a time step's tokens, their ids and places."""

import numpy as np
import pytest

from gato_dist.kinds import Kind
from gato_dist.specs import Modality
from gato_dist.tokens.images import from_patches, patch_intervals, to_patches
from gato_dist.tokens.layout import Vocabulary
from gato_dist.tokens.values import encode_continuous
from tests.fakes import ARM, arm_actions, arm_observations, tokenizer_of


def test_a_step_is_text_patches_tensors_separator_actions():
    steps = tokenizer_of(ARM, "paper").encode(arm_observations(2), arm_actions(2))
    kinds = steps.kind[1][steps.valid[1]]
    expected = [Kind.TEXT] * 5 + [Kind.PATCH] * 2 + [Kind.DISCRETE] + [Kind.CONTINUOUS] * 3 + [Kind.SEPARATOR]
    assert kinds.tolist() == expected + [Kind.ACTION_CONTINUOUS] * 2


def test_compact_gives_one_token_to_a_tensor():
    steps = tokenizer_of(ARM, "compact").encode(arm_observations(1))
    kinds = steps.kind[0][steps.valid[0]]
    assert kinds.tolist()[-4:] == [Kind.PATCH, Kind.GRID, Kind.TENSOR, Kind.SEPARATOR]
    assert steps.tensors.shape == (1, 2, 4)


def test_observation_tokens_are_numbered_in_their_step_and_actions_in_their_action():
    steps = tokenizer_of(ARM, "paper").encode(arm_observations(2), arm_actions(2))
    for step in range(2):
        local = steps.local_position[step][steps.valid[step]]
        assert local.tolist() == [*range(len(local) - 2), 0, 1]


def test_ids_lie_in_the_designs_ranges():
    paper, disjoint = Vocabulary(32000, "paper"), Vocabulary(32000, "disjoint")
    assert (paper.discrete, paper.continuous, paper.separator) == (0, 32000, 33024)
    assert (paper.action(Modality.DISCRETE), paper.action(Modality.CONTINUOUS)) == (0, 32000)
    assert (disjoint.discrete, disjoint.continuous, disjoint.separator) == (32000, 32000, 34048)
    assert disjoint.action(Modality.DISCRETE) == disjoint.action(Modality.CONTINUOUS) == 33024


def test_paper_vocabulary_refuses_ranges_that_overlap():
    with pytest.raises(ValueError, match="text_size"):
        Vocabulary(360, "paper")


def test_values_are_encoded_as_the_formulas_say():
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


def test_not_a_number_is_refused_by_task_and_part():
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


def test_patches_are_in_raster_order_and_come_back():
    image = np.arange(2 * 32 * 48 * 3, dtype=np.uint8).reshape(2, 32, 48, 3)
    patches = to_patches(image)
    assert (patches[0, 4] == image[0, 16:32, 16:32]).all()
    assert (from_patches(patches, 32, 48) == image).all()


def test_patch_intervals_tile_the_image():
    # 64×80: 4 rows of 32 bins; 5 columns of 25.6, whose ends are rounded down to bins.
    places = patch_intervals(64, 80)
    assert places[0].tolist() == [[0, 31], [0, 24]]
    assert places[7].tolist() == [[32, 63], [51, 75]]
    assert places[19].tolist() == [[96, 127], [102, 127]]


def test_image_sides_must_be_multiples_of_a_patch():
    with pytest.raises(ValueError, match="multiples of 16"):
        patch_intervals(60, 80)
