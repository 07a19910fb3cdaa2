"""Numbers on the command line, refused if they are out of range."""

import argparse
from math import isfinite

MOST = 2**31 - 1  # libraries count in int32
MOST_SEED = 2**32 - 1  # a uint32, as numpy's and the suites' generators take it


def positive(text: str) -> int:
    """An integer from 1 on."""
    return _between(1, MOST, text)


def not_negative(text: str) -> int:
    """An integer from 0 on."""
    return _between(0, MOST, text)


def seed(text: str) -> int:
    """An integer from 0 to the largest uint32."""
    return _between(0, MOST_SEED, text)


def finite(text: str) -> float:
    """Neither NaN nor infinite."""
    try:
        value = float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:50]!r} is not a number") from error
    if not isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


def amount(text: str) -> float:
    """Finite, from 0 on: a temperature, a duration."""
    value = finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def rate(text: str) -> float:
    """Finite, above 0."""
    value = finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return value


def _between(least: int, most: int, text: str) -> int:
    try:
        value = int(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text[:50]!r} is not an integer") from error
    if not least <= value <= most:
        raise argparse.ArgumentTypeError(f"{text[:50]} is not from {least} to {most}")
    return value
