"""Gymnasium's spaces as this system's parts: what an observation is called, what it holds, and what an action is."""

from collections.abc import Iterator
from functools import reduce
from operator import getitem
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec
from gato_dist.tokens.images import PATCH
from gato_dist.tokens.values import BINS


def observation_specs(space: Any, alone: str = "state") -> tuple[ObservationSpec, ...]:
    """A part for each leaf of a space; nested names are joined with a slash. alone: the name where there is but one.

    Raises InputError, which names the part, for a space that has no tokens.
    """
    return tuple(_part(_name(path, alone), leaf) for path, leaf in _leaves(space))


def read_observations(space: Any, values: Any, alone: str = "state") -> Observations:
    """The parts' values [N, ...] in a batch of observations of `space`."""
    return {_name(path, alone): _read(leaf, reduce(getitem, path, values)) for path, leaf in _leaves(space)}


def action_spec(space: Any) -> ActionSpec:
    """Raises InputError for a space that is neither Box, Discrete, MultiDiscrete nor MultiBinary."""
    kind = type(space).__name__
    if kind == "Box":
        low, high = (tuple(np.ravel(bound).tolist()) for bound in (space.low, space.high))
        return ActionSpec(Modality.CONTINUOUS, tuple(space.shape), low=low, high=high)
    if kind in ("Discrete", "MultiDiscrete"):
        counts = np.atleast_1d(space.n if kind == "Discrete" else space.nvec)
        return ActionSpec(Modality.DISCRETE, tuple(space.shape), tuple(int(count) for count in counts.ravel()))
    if kind == "MultiBinary":
        return ActionSpec(Modality.DISCRETE, tuple(space.shape), (2,) * int(np.prod(space.shape)))
    raise InputError(f"actions of {kind} cannot be tokens; Box, Discrete, MultiDiscrete and MultiBinary can")


def first_action(space: Any) -> np.ndarray | int:
    """What is added to a zero-based choice: gymnasium's discrete spaces may begin elsewhere."""
    return getattr(space, "start", 0)


def _leaves(space: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Each leaf with the keys that lead to it."""
    kind = type(space).__name__
    if kind not in ("Dict", "Tuple"):
        yield path, space
        return
    children = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
    for key, child in children:
        yield from _leaves(child, (*path, key))


def _name(path: tuple, alone: str) -> str:
    return "/".join(str(key) for key in path) or alone


def _part(name: str, space: Any) -> ObservationSpec:
    kind, shape = type(space).__name__, tuple(space.shape or ())
    if kind == "Text":
        return ObservationSpec(name, Modality.TEXT)
    if kind in ("Discrete", "MultiDiscrete", "MultiBinary"):
        count = 2 if kind == "MultiBinary" else int(np.max(space.n if kind == "Discrete" else space.nvec))
        return ObservationSpec(name, Modality.DISCRETE, shape, _countable(name, count))
    if kind != "Box":
        raise InputError(f"observation {name!r}: a space of kind {kind} cannot be tokens")
    if _is_image(space):
        if shape[0] % PATCH or shape[1] % PATCH:
            raise InputError(
                f"observation {name!r}: images need sides that are multiples of {PATCH}, got {shape[0]}×{shape[1]}; "
                "wrap the environment in gymnasium.wrappers.ResizeObservation"
            )
        return ObservationSpec(name, Modality.IMAGE, (*shape[:2], 3))
    if np.issubdtype(space.dtype, np.integer):
        if space.low.min() < 0:
            raise InputError(f"observation {name!r}: integers below 0 cannot be tokens")
        return ObservationSpec(name, Modality.DISCRETE, shape, _countable(name, int(space.high.max()) + 1))
    return ObservationSpec(name, Modality.CONTINUOUS, shape)


def _countable(name: str, count: int) -> int:
    if count > BINS:
        raise InputError(f"observation {name!r}: discrete values must lie below {BINS}, this one has {count}")
    return count


def _is_image(space: Any) -> bool:
    return space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] in (1, 3)


def _read(space: Any, values: Any) -> Any:
    if type(space).__name__ == "Text":
        return [str(text) for text in values]
    values = np.asarray(values)
    if type(space).__name__ == "Box" and _is_image(space):
        return np.repeat(values, 3, axis=3) if values.shape[3] == 1 else values
    return values - first_action(space)
