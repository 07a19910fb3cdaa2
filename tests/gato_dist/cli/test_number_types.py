"""Numbers on the command line: which are accepted, and what a refusal says."""

from argparse import ArgumentTypeError

import pytest

from gato_dist.cli.number_types import (
    finite_float,
    non_negative_float,
    non_negative_int,
    positive_float,
    positive_int,
    seed,
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (positive_int, "1", 1),
        (non_negative_int, "0", 0),
        (seed, "4294967295", 2**32 - 1),
        (finite_float, "-2.5", -2.5),
        (non_negative_float, "0", 0.0),
        (positive_float, "1e-9", 1e-9),
    ],
)
def test_a_number_in_range_is_accepted(parse, text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (seed, "-1", "-1 is not between 0 and 4294967295"),
        (seed, "4294967296", "is not between"),
        (seed, "1.5", "'1.5' is not an integer"),
        (positive_int, "0", "0 is not between 1 and 2147483647"),
        (positive_int, "9" * 60, f"{'9' * 50} is not between"),
        (non_negative_int, "-1", "is not between"),
        (finite_float, "1e999", "1e999 is not finite"),
        (finite_float, "x", "'x' is not a number"),
        (non_negative_float, "nan", "nan is not finite"),
        (non_negative_float, "-0.1", "-0.1 is negative"),
        (positive_float, "0", "0 is not positive"),
        (positive_float, "inf", "inf is not finite"),
    ],
)
def test_a_number_out_of_range_is_refused_with_the_reason(parse, text, message):
    with pytest.raises(ArgumentTypeError, match=message):
        parse(text)
