"""Values that a task's layout does not allow: one check for steps that are played and for steps that are stored."""

from dataclasses import dataclass

import numpy as np

from gato_dist.episode import Episode, Part
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec

# What rounding to float32 may add to an action that was clipped to its bounds.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Fault:
    """The first wrong value of a part. part: an observation's name, or `actions`, `targets`, `rewards`."""

    part: str
    step: int
    why: str

    def __str__(self) -> str:
        return f"{self.part}, step {self.step}: {self.why}"


def episode_faults(spec: TaskSpec, episode: Episode) -> list[Fault]:
    """The first fault of every part of an episode; empty if there is none."""
    found = [(part.name, part_fault(part, episode.observations[part.name])) for part in spec.observations]
    found.append(("rewards", reward_fault(episode.rewards)))
    # Targets that are the actions were checked with them.
    found.append(("actions", action_fault(spec.action, episode.actions)))
    if episode.targets is not episode.actions:
        found.append(("targets", action_fault(spec.action, episode.targets)))
    return [Fault(name, *fault) for name, fault in found if fault is not None]


def part_fault(part: ObservationSpec, values: Part) -> tuple[int, str] | None:
    """The first row of `values` [N, ...] that is no observation of `part`, and why; None if all are.

    Floats beyond a declared bound are no fault: tokens clip them.
    """
    if part.modality is Modality.TEXT:
        if set(map(type, values)) <= {str}:
            return None
        wrong = (i for i, text in enumerate(values) if not isinstance(text, str))
        return next(((i, f"{type(values[i]).__name__} in place of a text") for i in wrong), None)
    array = np.asarray(values)
    if array.shape[1:] != part.shape:
        return 0, f"its shape is {array.shape[1:]}, not {part.shape}"
    if part.modality is Modality.IMAGE:
        return None if array.dtype == np.uint8 else (0, f"a picture of {array.dtype}, not uint8")
    if part.modality is Modality.DISCRETE:
        return _integer_fault(array, part.num_values, (part.num_values,))
    return _finite_fault(array)


def reward_fault(rewards: np.ndarray) -> tuple[int, str] | None:
    """The first of the rewards [N] that is NaN or infinite."""
    return _finite_fault(np.asarray(rewards))


def action_fault(spec: ActionSpec, actions: np.ndarray) -> tuple[int, str] | None:
    """The first of the actions [N, *action shape] that lies outside its range, and why."""
    if actions.shape[1:] != spec.shape:
        return 0, f"its shape is {actions.shape[1:]}, not {spec.shape}"
    if spec.modality is Modality.DISCRETE:
        return _integer_fault(actions, min(spec.num_values), spec.num_values)
    if fault := _finite_fault(actions):
        return fault
    low, high = (np.reshape(bound, spec.shape) for bound in (spec.low, spec.high))
    slack = ROUNDING * np.maximum(1, np.where(np.isfinite(high - low), high - low, 1))
    place = _first(~((actions >= low - slack) & (actions <= high + slack)))
    if place is None:
        return None
    return place[0], f"{actions[place]:g} lies outside [{low[place[1:]]:g}, {high[place[1:]]:g}]"


def _integer_fault(values: np.ndarray, least: int, limits: tuple[int, ...]) -> tuple[int, str] | None:
    """Integers must lie in [0, limit). limits: of each element of a row, or of all; least: the lowest of them."""
    kind = values.dtype.kind
    # Bytes of a grid are many, and never negative.
    if kind in "biu" and values.size and values.max() < least and (kind == "u" or values.min() >= 0):
        return None
    if kind not in "biuf":
        return 0, f"{values.dtype} where integers belong"
    limit = np.broadcast_to(limits[0] if len(limits) == 1 else np.reshape(limits, values.shape[1:]), values.shape[1:])
    whole = kind != "f" or (values == np.floor(values))
    place = _first(~((values >= 0) & (values < limit) & whole))
    return None if place is None else (place[0], f"{values[place]:g} is no integer in [0, {limit[place[1:]]})")


def _finite_fault(values: np.ndarray) -> tuple[int, str] | None:
    if values.dtype.kind not in "biuf":
        return 0, f"{values.dtype} where numbers belong"
    finite = np.isfinite(values)
    if finite.all():
        return None
    place = _first(~finite)
    return None if place is None else (place[0], f"{values[place]:g} is not finite")


def _first(wrong: np.ndarray) -> tuple[int, ...] | None:
    """The index of the first true element."""
    if not wrong.any():
        return None
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(wrong)), wrong.shape))
