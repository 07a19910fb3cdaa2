"""Kinds of position in a token sequence."""

from enum import IntEnum


class Kind(IntEnum):
    """What a position holds; it decides how the model embeds it."""

    PADDING = 0
    TEXT = 1
    PATCH = 2
    DISCRETE = 3
    CONTINUOUS = 4
    TENSOR = 5  # compact: a whole tensor of standardised floats rides beside
    GRID = 6  # compact: a whole tensor of small integers rides beside
    SEPARATOR = 7
    ACTION = 8
    ACTION_CONTINUOUS = 9
