"""What a task looks like from outside: its observations' and actions' names, shapes and ranges."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from math import prod
from typing import Any


class Modality(StrEnum):
    """Kinds of observation; members stand in the order in which a time step lists them (paper, appendix B)."""

    TEXT = "text"
    IMAGE = "image"
    DISCRETE = "discrete"
    CONTINUOUS = "continuous"


_ORDER = {modality: rank for rank, modality in enumerate(Modality)}


@dataclass(frozen=True)
class ObservationSpec:
    """One named part of an observation.

    shape: of one step, without time: () for text, (H, W, 3) for images, any for the others.
    num_values: discrete parts hold integers in [0, num_values); 0 elsewhere.
    """

    name: str
    modality: Modality
    shape: tuple[int, ...] = ()
    num_values: int = 0

    @property
    def size(self) -> int:
        """Numbers in one step of this part."""
        return prod(self.shape)


@dataclass(frozen=True)
class ActionSpec:
    """Actions of one step, row-major: element i is an integer in [0, num_values[i]), or a float in [low[i], high[i]].

    A discrete action of shape () is a single choice. `low` and `high` are empty for discrete actions, and may be
    infinite for others; `num_values` is empty for continuous ones.
    """

    modality: Modality
    shape: tuple[int, ...] = ()
    num_values: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Action tokens of one step."""
        return prod(self.shape)


@dataclass(frozen=True)
class TaskSpec:
    """A task's name, layout and length. `observations` are kept in the order of the token sequence.

    max_steps: where episodes are truncated; 0 where the environment sets a limit of its own, episode by episode.

    Worked example: a robot arm with one camera and two tensors.

    >>> spec = TaskSpec("toy/arm", (ObservationSpec("pose", Modality.CONTINUOUS, (7,)),
    ...                             ObservationSpec("camera", Modality.IMAGE, (64, 80, 3)),
    ...                             ObservationSpec("gripper", Modality.CONTINUOUS, (1,))),
    ...                 ActionSpec(Modality.CONTINUOUS, (4,), low=(-1,) * 4, high=(1,) * 4), max_steps=200)
    >>> [part.name for part in spec.observations]
    ['camera', 'gripper', 'pose']
    """

    name: str
    observations: tuple[ObservationSpec, ...]
    action: ActionSpec
    max_steps: int

    def __post_init__(self) -> None:
        ordered = sorted(self.observations, key=lambda part: (_ORDER[part.modality], part.name))
        object.__setattr__(self, "observations", tuple(ordered))

    @property
    def suite(self) -> str:
        return self.name.split("/", 1)[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TaskSpec":
        observations = tuple(
            ObservationSpec(o["name"], Modality(o["modality"]), tuple(o["shape"]), o["num_values"])
            for o in data["observations"]
        )
        a = data["action"]
        action = ActionSpec(
            Modality(a["modality"]), tuple(a["shape"]), tuple(a["num_values"]), tuple(a["low"]), tuple(a["high"])
        )
        return cls(data["name"], observations, action, data["max_steps"])
