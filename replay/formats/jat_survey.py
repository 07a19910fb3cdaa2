"""Makes the layout of a JAT task without metadata from the sizes and ranges of its values."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.values import BINS
from replay.formats.jat_layout import observation_column


@dataclass
class Range:
    """The values of one column.

    Attributes:
        shape: of a step; () for a single number.
        low, high: the lowest and highest value of each number of a step, [*shape].
    """

    shape: tuple[int, ...]
    low: NDArray[Any]
    high: NDArray[Any]


def widen_range(ranges: dict[str, Range], column: str, values: NDArray[Any]) -> None:
    """Adds values [T, *shape] of one episode to a column's range.

    Raises:
        ValueError: steps have another shape than before.
    """
    low, high = values.min(axis=0), values.max(axis=0)
    known = ranges.setdefault(column, Range(values.shape[1:], low, high))
    if known.shape != values.shape[1:]:
        raise ValueError(f"{column} has {known.shape} numbers a step, and then {values.shape[1:]}")
    known.low, known.high = np.minimum(known.low, low), np.maximum(known.high, high)


def make_spec(
    task: str, ranges: Mapping[str, Range], *, has_text: bool, frame_shape: tuple[int, ...] | None
) -> TaskSpec:
    """Returns a task's layout. The bounds of actions are the ranges that occur.

    Args:
        task: the task's name.
        ranges: column → range of its values.
        has_text: whether observations have a text.
        frame_shape: H × W × 3; None without images.

    Raises:
        ValueError: there is no observation, or a discrete value does not fit.
        KeyError: there is no action.
    """
    parts = [ObservationSpec("text", Modality.TEXT)] if has_text else []
    parts += [ObservationSpec("image", Modality.IMAGE, frame_shape)] if frame_shape is not None else []
    for modality in (Modality.DISCRETE, Modality.CONTINUOUS):
        if found := ranges.get(observation_column(modality)):
            num_values = _count_values(task, found) if modality is Modality.DISCRETE else 0
            parts.append(ObservationSpec(modality.value, modality, found.shape, num_values))
    if not parts:
        raise ValueError("no column of observations")
    return TaskSpec(task, tuple(parts), _make_action_spec(task, ranges), 0)


def _count_values(task: str, found: Range) -> int:
    if found.low.min() < 0 or found.high.max() >= BINS:
        raise ValueError(f"{task}: discrete values must lie in [0, {BINS})")
    return int(found.high.max()) + 1


def _make_action_spec(task: str, ranges: Mapping[str, Range]) -> ActionSpec:
    if found := ranges.get("discrete_actions"):
        _count_values(task, found)
        return ActionSpec(Modality.DISCRETE, found.shape, tuple(int(n) + 1 for n in np.ravel(found.high)))
    found = ranges["continuous_actions"]
    low, high = np.ravel(found.low).astype(float), np.ravel(found.high).astype(float)
    return ActionSpec(Modality.CONTINUOUS, found.shape, low=tuple(low.tolist()), high=tuple(high.tolist()))
