"""Turns gymnasium's spaces into specs of observations and actions, and values of a space into named parts."""

from collections.abc import Iterator
from functools import reduce
from math import prod
from operator import getitem
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Array
from gato_dist.specs import ActionSpec, Modality, ObservationSpec
from gato_dist.tokens.patches import PATCH, fit_frames
from gato_dist.tokens.values import BINS


def observation_specs(space: Any, alone: str = "state") -> tuple[ObservationSpec, ...]:
    """Returns one part of the observation for each leaf of a space. Nested names are joined with a slash.

    A uint8 space [H, W, C] or [C, H, W] with one or three channels and sides of at least 16 is an image: it becomes RGB
    with the channels last, padded with black to multiples of 16. A smaller one, such as MiniGrid's, is a grid of
    integers.

    Args:
        space: a gymnasium space.
        alone: the name of the part if the space has a single leaf.

    Raises:
        InputError: if a part cannot be turned into tokens, or two parts have the same name. The message names the part.
    """
    parts = tuple(_part(name, leaf) for name, _, leaf in named_leaves(space, alone))
    names = [part.name for part in parts]
    if repeated := [name for name in names if names.count(name) > 1]:
        raise InputError(f"observation {repeated[0]!r}: two parts of the observation have this name; rename a key")
    if not parts:
        raise InputError("its observation is an empty space; a policy needs to see something")
    return parts


def read_observations(space: Any, values: Any, alone: str = "state") -> Observations:
    """Returns the parts of a batch of observations.

    Args:
        space: the gymnasium space of one observation.
        values: a batch of observations of this space, as gymnasium's vectors return it.
        alone: as in `observation_specs`.

    Returns:
        Each part by name, [N, ...].
    """
    return {name: _read(leaf, reduce(getitem, path, values)) for name, path, leaf in named_leaves(space, alone)}


def action_spec(space: Any) -> ActionSpec:
    """Returns the spec of the actions of a gymnasium space. The integers of a Box are choices, as in a MultiDiscrete.

    Raises:
        InputError: if the space is neither Box, Discrete, MultiDiscrete nor MultiBinary, has no element, or has more
            choices than there are tokens.
    """
    kind, shape = type(space).__name__, tuple(space.shape or ())
    if kind not in ("Box", "Discrete", "MultiDiscrete", "MultiBinary"):
        raise InputError(f"actions of {kind} cannot be tokens; Box, Discrete, MultiDiscrete and MultiBinary can")
    if not prod(shape):
        raise InputError(f"actions of shape {shape} hold no number; an action needs at least one")
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


def first_action(space: Any) -> Array | int:
    """Returns the lowest action of a space, to be added to choices that count from 0; 0 for floats."""
    if type(space).__name__ == "Box":
        return 0 if space.dtype.kind == "f" else space.low
    return getattr(space, "start", 0)


def named_leaves(
    space: Any, alone: str = "state", path: tuple[Any, ...] = ()
) -> Iterator[tuple[str, tuple[Any, ...], Any]]:
    """Yields the name of each leaf of a space, the keys that lead to it, and the leaf.

    Args:
        space: a gymnasium space, possibly nested Dicts and Tuples.
        alone: the name if the space itself is a leaf.
        path: the keys that lead to `space`.
    """
    kind = type(space).__name__
    if kind not in ("Dict", "Tuple"):
        yield "/".join(map(str, path)) or alone, path, space
        return
    children = space.spaces.items() if kind == "Dict" else enumerate(space.spaces)
    for key, child in children:
        yield from named_leaves(child, alone, (*path, key))


def is_text(space: Any) -> bool:
    """Returns whether the values are strings: a Text space, or a package's own such as minigrid's missions."""
    return bool(space.dtype is not None and space.dtype.kind == "U")


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
    if kind == "Box" and _is_image(space):
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
    """Returns how many values each element of a Discrete, MultiDiscrete or MultiBinary space can have."""
    kind = type(space).__name__
    return space.n if kind == "Discrete" else space.nvec if kind == "MultiDiscrete" else 2


def _is_image(space: Any) -> bool:
    if space.dtype != np.uint8 or len(space.shape) != 3:
        return False
    shape = space.shape if space.shape[2] in (1, 3) else (*space.shape[1:], space.shape[0])
    return shape[2] in (1, 3) and min(shape[:2]) >= PATCH


def _frames(space: Any, frames: Array) -> Array:
    return fit_frames(frames if space.shape[2] in (1, 3) else frames.transpose(0, 2, 3, 1))


def _read(space: Any, values: Any) -> Any:
    if is_text(space):
        return [str(text) for text in values]
    values = np.asarray(values)
    if type(space).__name__ == "Box":
        return _frames(space, values) if _is_image(space) else values
    return values - getattr(space, "start", 0)
