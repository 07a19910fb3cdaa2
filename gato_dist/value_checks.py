"""Checks that values fit a task's layout. Rollouts and datasets use the same checks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.episode import Episode, PartValues
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec

# An action that was clipped to its bounds may exceed them by this share after rounding to float32.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Fault:
    """The first invalid value of one part of an episode.

    Attributes:
        part: name of an observation part, or `actions`, `targets`, `rewards`.
        step: index of the time step.
        why: what is wrong.
    """

    part: str
    step: int
    why: str

    def __str__(self) -> str:
        return f"{self.part}, step {self.step}: {self.why}"


def episode_faults(spec: TaskSpec, episode: Episode) -> list[Fault]:
    """Returns the first fault of each part of an episode."""
    found = [(part.name, observation_fault(part, episode.observations[part.name])) for part in spec.observations]
    found.append(("rewards", reward_fault(episode.rewards)))
    # Targets are often the same array as the actions.
    found.append(("actions", action_fault(spec.action, episode.actions)))
    if episode.targets is not episode.actions:
        found.append(("targets", action_fault(spec.action, episode.targets)))
    return [Fault(name, *fault) for name, fault in found if fault is not None]


def observation_fault(part: ObservationSpec, values: PartValues) -> tuple[int, str] | None:
    """Checks the values of an observation part.

    Floats beyond the declared bounds are valid, because the tokenizer clips them.

    Args:
        part: layout of the part.
        values: [N, *part shape], or N strings.

    Returns:
        Index of the first invalid value and the reason; None if all are valid.
    """
    if part.modality is Modality.TEXT:
        if set(map(type, values)) <= {str}:
            return None
        wrong = (i for i, text in enumerate(values) if not isinstance(text, str))
        return next(((i, f"{type(values[i]).__name__} instead of a text") for i in wrong), None)
    array = np.asarray(values)
    if array.shape[1:] != part.shape:
        return 0, f"its shape is {array.shape[1:]}, not {part.shape}"
    if part.modality is Modality.IMAGE:
        return None if array.dtype == np.uint8 else (0, f"an image of {array.dtype}, not uint8")
    if part.modality is Modality.DISCRETE:
        return _integer_fault(array, part.num_values, (part.num_values,))
    return _finite_fault(array)


def reward_fault(rewards: NDArray[Any]) -> tuple[int, str] | None:
    """Returns the index of the first reward [N] that is NaN or infinite, and the reason; None if all are finite."""
    return _finite_fault(np.asarray(rewards))


def action_fault(spec: ActionSpec, actions: NDArray[Any]) -> tuple[int, str] | None:
    """Checks actions.

    Args:
        spec: layout of the action.
        actions: [N, *action shape].

    Returns:
        Index of the first action out of range and the reason; None if all are valid.
    """
    if actions.shape[1:] != spec.shape:
        return 0, f"its shape is {actions.shape[1:]}, not {spec.shape}"
    if spec.modality is Modality.DISCRETE:
        return _integer_fault(actions, min(spec.num_values), spec.num_values)
    if fault := _finite_fault(actions):
        return fault
    low, high = (np.reshape(bound, spec.shape) for bound in (spec.low, spec.high))
    slack = ROUNDING * np.maximum(1, np.where(np.isfinite(high - low), high - low, 1))
    index = _first(~((actions >= low - slack) & (actions <= high + slack)))
    if index is None:
        return None
    return index[0], f"{actions[index]:g} lies outside [{low[index[1:]]:g}, {high[index[1:]]:g}]"


def _integer_fault(values: NDArray[Any], least: int, limits: tuple[int, ...]) -> tuple[int, str] | None:
    """Checks that all values [N, ...] are integers in [0, limit).

    Args:
        limits: limit of each element, or one for all.
        least: the smallest limit.
    """
    kind = values.dtype.kind
    # A fast check first: the uint8 values of a grid are many, and never negative.
    if kind in "biu" and values.size and values.max() < least and (kind == "u" or values.min() >= 0):
        return None
    if kind not in "biuf":
        return 0, f"{values.dtype} instead of integers"
    limit = np.broadcast_to(limits[0] if len(limits) == 1 else np.reshape(limits, values.shape[1:]), values.shape[1:])
    whole = kind != "f" or (values == np.floor(values))
    index = _first(~((values >= 0) & (values < limit) & whole))
    return None if index is None else (index[0], f"{values[index]:g} is not an integer in [0, {limit[index[1:]]})")


def _finite_fault(values: NDArray[Any]) -> tuple[int, str] | None:
    if values.dtype.kind not in "biuf":
        return 0, f"{values.dtype} instead of numbers"
    finite = np.isfinite(values)
    if finite.all():
        return None
    index = _first(~finite)
    return None if index is None else (index[0], f"{values[index]:g} is not finite")


def _first(wrong: NDArray[np.bool_]) -> tuple[int, ...] | None:
    """Returns the index of the first true element; None if there is none."""
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
