"""Types of numbers on the command line. Argparse turns their errors into one line with exit code 2."""

from argparse import ArgumentTypeError
from math import isfinite

MAX_INT = 2**31 - 1  # the libraries count in int32
MAX_SEED = 2**32 - 1  # the generators of numpy and of the suites take a uint32
SHOWN_CHARACTERS = 50  # of a wrong argument


def positive_int(text: str) -> int:
    """Parses an integer from 1 to 2**31 - 1.

    Raises:
        ArgumentTypeError: if the text is not such a number.
    """
    return _bounded_int(text, 1, MAX_INT)


def non_negative_int(text: str) -> int:
    """Parses an integer from 0 to 2**31 - 1.

    Raises:
        ArgumentTypeError: if the text is not such a number.
    """
    return _bounded_int(text, 0, MAX_INT)


def seed(text: str) -> int:
    """Parses an integer from 0 to 2**32 - 1.

    Raises:
        ArgumentTypeError: if the text is not such a number.
    """
    return _bounded_int(text, 0, MAX_SEED)


def finite_float(text: str) -> float:
    """Parses a number that is neither NaN nor infinite.

    Raises:
        ArgumentTypeError: if the text is not such a number.
    """
    try:
        value = float(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text[:SHOWN_CHARACTERS]!r} is not a number") from error
    if not isfinite(value):
        raise ArgumentTypeError(f"{text} is not finite")
    return value


def non_negative_float(text: str) -> float:
    """Parses a finite number from 0 on, such as a temperature or a duration.

    Raises:
        ArgumentTypeError: if the text is not such a number.
    """
    value = finite_float(text)
    if value < 0:
        raise ArgumentTypeError(f"{text} is negative")
    return value


def positive_float(text: str) -> float:
    """Parses a finite number above 0.

    Raises:
        ArgumentTypeError: if the text is not such a number.
    """
    value = finite_float(text)
    if value <= 0:
        raise ArgumentTypeError(f"{text} is not positive")
    return value


def _bounded_int(text: str, lowest: int, highest: int) -> int:
    shown = text[:SHOWN_CHARACTERS]
    try:
        value = int(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{shown!r} is not an integer") from error
    if not lowest <= value <= highest:
        raise ArgumentTypeError(f"{shown} is not between {lowest} and {highest}")
    return value
