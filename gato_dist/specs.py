"""What a task looks like from outside: its observations' and actions' names, shapes and ranges."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite, prod
from typing import Any

from gato_dist.utils.typed_json import read_as


class Modality(StrEnum):
    """Kinds of observation; members stand in the order in which a time step lists them (paper, appendix B)."""

    TEXT = "text"
    IMAGE = "image"
    DISCRETE = "discrete"
    CONTINUOUS = "continuous"


MOST_LETTERS = 200  # of a task's name, which names folders
MOST_NUMBERS = 2**28  # of an observation or an action: what is larger was made to fill a memory
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
        """Plain JSON types; `from_dict` is the inverse. Infinite bounds are text, since JSON has no number for them."""
        plain = asdict(self)
        for bound in ("low", "high"):
            plain["action"][bound] = tuple(x if isfinite(x) else str(x) for x in plain["action"][bound])
        return plain

    @classmethod
    def from_dict(cls, data: Any) -> "TaskSpec":
        """Raises ValueError for what is no layout of a task, or one that no memory holds."""
        found = read_as(cls, data)
        folders = found.name.split("/")
        if {"", ".", ".."} & set(folders) or not found.name.isprintable() or len(found.name) > MOST_LETTERS:
            raise ValueError(f"{found.name[:60]!r} is no name of a task")
        for shape in (found.action.shape, *(part.shape for part in found.observations)):
            if any(side < 1 for side in shape) or prod(shape) > MOST_NUMBERS:
                raise ValueError(f"{found.name[:60]!r}: no observation or action has the shape {list(shape)}")
        if len({part.name for part in found.observations}) < len(found.observations):
            raise ValueError(f"{found.name[:60]!r}: two parts of its observation have one name")
        action = found.action
        values = (action.num_values,) if action.modality is Modality.DISCRETE else (action.low, action.high)
        if any(len(each) != action.size for each in values):
            raise ValueError(f"{found.name[:60]!r}: its actions are {action.size} numbers, their ranges are not")
        if any(part.modality is Modality.IMAGE and len(part.shape) != 3 for part in found.observations):
            raise ValueError(f"{found.name[:60]!r}: pictures have height, width and channels")
        return found
