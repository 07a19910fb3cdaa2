"""Numbers on the command line, refused where they make no sense."""

import argparse


def positive(text: str) -> int:
    """An integer from 1 on."""
    return _at_least(1, text, "positive")


def not_negative(text: str) -> int:
    """An integer from 0 on."""
    return _at_least(0, text, "0 or more")


def finite(text: str) -> float:
    """Neither NaN nor infinite."""
    value = float(text)
    if not abs(value) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


def temperature(text: str) -> float:
    """Finite, from 0 on."""
    value = finite(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return value


def _at_least(least: int, text: str, what: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"{text} is not {what}")
    return value
