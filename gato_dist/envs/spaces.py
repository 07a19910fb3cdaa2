"""Gymnasium's spaces as this system's parts: what an observation is called, what it holds, and what an action is."""

from collections.abc import Iterator
from functools import reduce
from math import prod
from operator import getitem
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec
from gato_dist.tokens.patches import PATCH, fit_frames
from gato_dist.tokens.values import BINS


def observation_specs(space: Any, alone: str = "state") -> tuple[ObservationSpec, ...]:
    """A part for each leaf of a space; nested names are joined with a slash.

    uint8 [H, W, C] or [C, H, W] with one or three channels and sides of 16 and more is a picture: it becomes RGB,
    channels last, filled up with black to multiples of 16. A smaller one, such as MiniGrid's, is a grid of integers.

    Args:
        space: a gymnasium space.
        alone: the name of the part if there is but one.

    Raises:
        InputError: it names the part that has no tokens, or the name that two parts have.
    """
    parts = tuple(_part(name, leaf) for name, _, leaf in named_leaves(space, alone))
    names = [part.name for part in parts]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"observation {twice[0]!r}: two parts of the observation have this name; rename a key")
    if not parts:
        raise InputError("its observation is an empty space; a policy needs to see something")
    return parts


def read_observations(space: Any, values: Any, alone: str = "state") -> Observations:
    """The parts' values [N, ...] in a batch of observations of `space`."""
    return {name: _read(leaf, reduce(getitem, path, values)) for name, path, leaf in named_leaves(space, alone)}


def action_spec(space: Any) -> ActionSpec:
    """Integers of a Box are choices, like those of a MultiDiscrete.

    Raises:
        InputError: for a space that is neither Box, Discrete, MultiDiscrete nor MultiBinary, for one without numbers,
            and for more choices than there are tokens.
    """
    kind, shape = type(space).__name__, tuple(space.shape or ())
    if kind not in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        raise InputError(f"actions of {kind} cannot be tokens; Box, Discrete, MultiDiscrete and MultiBinary can")
    if not prod(shape):
        raise InputError(f"actions of shape {shape} hold no number; an action needs one at least")
    if kind == "Box" and space.dtype.kind == "f":
        low, high = (tuple(np.ravel(bound).tolist()) for bound in (space.low, space.high))
        return ActionSpec(Modality.CONTINUOUS, shape, low=low, high=high)
    if kind == "Box":
        # Python's integers: the whole range of int64 does not fit into one.
        ends = zip(space.low.ravel().tolist(), space.high.ravel().tolist(), strict=True)
        counts = [int(high) - int(low) + 1 for low, high in ends]
    else:
        counts = np.broadcast_to(_counts(space), shape).ravel().tolist()
    if max(counts) > BINS:
        raise InputError(f"actions of {max(counts)} choices cannot be tokens, {BINS} can; a Box of floats can as well")
    return ActionSpec(Modality.DISCRETE, shape, tuple(int(count) for count in counts))


def first_action(space: Any) -> np.ndarray | int:
    """What is added to a choice counted from zero: gymnasium's discrete spaces may begin elsewhere."""
    if type(space).__name__ == "Box":
        return 0 if space.dtype.kind == "f" else space.low
    return getattr(space, "start", 0)


def named_leaves(space: Any, alone: str = "state", path: tuple = ()) -> Iterator[tuple[str, tuple, Any]]:
    """The name of each leaf of a space, the keys that lead to it, and the leaf."""
    kind = type(space).__name__
    if kind not in ("Dict", "Tuple"):
        yield "/".join(map(str, path)) or alone, path, space
        return
    children = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
    for key, child in children:
        yield from named_leaves(child, alone, (*path, key))


def is_text(space: Any) -> bool:
    """Text, or a space of a package's own whose values are strings, such as minigrid's missions."""
    return space.dtype is not None and space.dtype.kind == "U"


def _part(name: str, space: Any) -> ObservationSpec:
    if is_text(space):
        return ObservationSpec(name, Modality.TEXT)
    kind, shape = type(space).__name__, tuple(space.shape or ())
    if kind not in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        raise InputError(f"observation {name!r}: a space of kind {kind} cannot be tokens")
    if not prod(shape):
        raise InputError(
            f"observation {name!r}: shape {shape} holds no number; leave it out, as with "
            "gymnasium.wrappers.FilterObservation"
        )
    if kind == "Box" and _is_picture(space):
        return ObservationSpec(name, Modality.IMAGE, _frames(space, np.zeros((1, *shape), np.uint8)).shape[1:])
    if kind == "Box" and space.dtype.kind == "f":
        return ObservationSpec(name, Modality.CONTINUOUS, shape)
    if kind == "Box":
        if space.low.min() < 0:
            raise InputError(f"observation {name!r}: integers below 0 cannot be tokens")
        count = int(space.high.max()) + 1
    else:
        count = int(np.max(_counts(space)))
    if count > BINS:
        raise InputError(f"observation {name!r}: discrete values must lie below {BINS}, this one has {count}")
    return ObservationSpec(name, Modality.DISCRETE, shape, count)


def _counts(space: Any) -> Any:
    """How many values each element of a Discrete, MultiDiscrete or MultiBinary space can have."""
    kind = type(space).__name__
    return space.n if kind == "Discrete" else space.nvec if kind == "MultiDiscrete" else 2


def _is_picture(space: Any) -> bool:
    if space.dtype != np.uint8 or len(space.shape) != 3:
        return False
    shape = space.shape if space.shape[2] in (1, 3) else (*space.shape[1:], space.shape[0])
    return shape[2] in (1, 3) and min(shape[:2]) >= PATCH


def _frames(space: Any, frames: np.ndarray) -> np.ndarray:
    return fit_frames(frames if space.shape[2] in (1, 3) else frames.transpose(0, 2, 3, 1))


def _read(space: Any, values: Any) -> Any:
    if is_text(space):
        return [str(text) for text in values]
    values = np.asarray(values)
    if type(space).__name__ == "Box":
        return _frames(space, values) if _is_picture(space) else values
    return values - getattr(space, "start", 0)
