"""Bins of numbers, compared with the paper's formulas computed by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_dist.tokens.values import decode_action, decode_continuous, encode_action, encode_continuous, mu_law


def test_mu_law_matches_values_computed_by_hand():
    # F(1) = ln 101 / ln 25601 = 4.61512 / 10.15038; F(0.01) = ln 2 / ln 25601.
    assert mu_law([1.0, -1.0, 0.01, 0.0, 256.0]) == pytest.approx([0.454675, -0.454675, 0.068288, 0.0, 1.0], abs=1e-6)


def test_continuous_values_map_to_known_bins():
    # 0 opens bin 512; F(1)=.454675 → floor(1.454675·512)=744; 256 and beyond clip to the last bin.
    assert encode_continuous([0.0, 1.0, -1.0, 256.0, 1e9, -1e9]).tolist() == [512, 744, 279, 1023, 1023, 0]


def test_both_ends_of_the_action_range_are_valid():
    assert encode_action([-1.0, 1.0, 0.0]).tolist() == [0, 1023, 512]


def test_an_action_bin_decodes_to_its_centre():
    assert decode_action([0, 1023]).tolist() == pytest.approx([-1 + 1 / 1024, 1 - 1 / 1024])
    assert decode_action([512], low=0.0, high=4.0)[0] == pytest.approx(4 * 512.5 / 1024)


def test_equal_bounds_decode_to_their_value():
    assert encode_action([3.0], low=3.0, high=3.0).tolist() == [512]
    assert decode_action([512], low=3.0, high=3.0).tolist() == [3.0]


@pytest.mark.parametrize("bound", [np.inf, 3.4028235e38])
def test_actions_without_bounds_are_encoded_like_observations(bound):
    values = np.array([0.0, 1.0, -1.0, 1000.0])
    assert (encode_action(values, -bound, bound) == encode_continuous(values)).all()
    assert decode_action([744], -bound, bound) == pytest.approx(decode_continuous([744]))
    # A single bound is no scale, but it still holds.
    assert decode_action(encode_action([-5.0], 0.0, bound), 0.0, bound).tolist() == [0.0]


def test_an_action_may_have_bounded_and_unbounded_elements():
    low, high = np.array([-1.0, -np.inf, 3.0]), np.array([1.0, np.inf, 3.0])
    bins = encode_action(np.array([[1.0, 1.0, 3.0]]), low, high)
    assert bins.tolist() == [[1023, 744, 512]]
    assert decode_action(bins, low, high)[0, 2] == 3.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(bad):
    for encode in (encode_continuous, encode_action):
        with pytest.raises(ValueError, match="finite"):
            encode([0.0, bad])


@given(st.floats(-1, 1), st.floats(-100, 100), st.floats(0.01, 100))
def test_actions_round_trip_to_half_a_bin(unit, low, span):
    value = low + (unit + 1) / 2 * span
    back = decode_action(encode_action(value, low, low + span), low, low + span)
    assert abs(back - value) <= span / 2048 * (1 + 1e-6)


@given(st.integers(0, 1023))
def test_every_bin_decodes_to_a_value_of_the_same_bin(index):
    assert encode_continuous(decode_continuous(index)) == index
    assert encode_action(decode_action(index)) == index
