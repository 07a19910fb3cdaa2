"""The layout of a task: names, shapes and ranges of its observations and actions."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite, prod
from typing import Any

from gato_dist.utils.typed_json import read_as


class Modality(StrEnum):
    """Kinds of data. The members are in the order in which a time step lists its parts (paper, appendix B)."""

    TEXT = "text"
    IMAGE = "image"
    DISCRETE = "discrete"
    CONTINUOUS = "continuous"


MAX_NAME_LENGTH = 200  # Task names are used as folder names.
MAX_ELEMENTS = 2**28  # of an observation or an action; files that claim more were made to exhaust memory
_ORDER = {modality: rank for rank, modality in enumerate(Modality)}


@dataclass(frozen=True)
class ObservationSpec:
    """One named part of an observation.

    Attributes:
        name: name of the part, such as `camera`.
        modality: kind of its data.
        shape: shape in one time step: () for text, (H, W, 3) for images, any shape for others.
        num_values: a discrete part holds integers in [0, num_values); 0 for others.
    """

    name: str
    modality: Modality
    shape: tuple[int, ...] = ()
    num_values: int = 0

    @property
    def size(self) -> int:
        """Number of elements in one time step."""
        return prod(self.shape)


@dataclass(frozen=True)
class ActionSpec:
    """The action of one time step. Elements are numbered in row-major order.

    Attributes:
        modality: `DISCRETE` or `CONTINUOUS`.
        shape: shape of the action; () for a single choice or number.
        num_values: element i of a discrete action is an integer in [0, num_values[i]); empty for continuous actions.
        low, high: element i of a continuous action lies in [low[i], high[i]]; bounds may be infinite; empty for
            discrete actions.
    """

    modality: Modality
    shape: tuple[int, ...] = ()
    num_values: tuple[int, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()

    @property
    def size(self) -> int:
        """Number of elements, which is the number of action tokens of one time step."""
        return prod(self.shape)


@dataclass(frozen=True)
class TaskSpec:
    """A task's name, layout and length.

    Attributes:
        name: `suite/name`.
        observations: parts of the observation, sorted in the order of their tokens.
        action: layout of the action.
        max_steps: length after which episodes are truncated; 0 if the environment chooses a limit for each episode.

    Example: a robot arm with one camera and two tensors.

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
        """The part of the name before the slash."""
        return self.name.split("/", 1)[0]

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON types. Infinite bounds become text, because JSON has no number for them."""
        plain = asdict(self)
        for bound in ("low", "high"):
            plain["action"][bound] = tuple(x if isfinite(x) else str(x) for x in plain["action"][bound])
        return plain

    @classmethod
    def from_dict(cls, data: Any) -> "TaskSpec":
        """Restores a layout from what `to_dict` returned.

        Raises:
            ValueError: if the data do not describe a task, or describe one that exceeds the limits of this module.
        """
        found = read_as(cls, data)
        folders = found.name.split("/")
        if {"", ".", ".."} & set(folders) or not found.name.isprintable() or len(found.name) > MAX_NAME_LENGTH:
            raise ValueError(f"{found.name[:60]!r} is not a valid task name")
        for shape in (found.action.shape, *(part.shape for part in found.observations)):
            if any(side < 1 for side in shape) or prod(shape) > MAX_ELEMENTS:
                raise ValueError(f"{found.name[:60]!r}: no observation or action can have the shape {list(shape)}")
        if len({part.name for part in found.observations}) < len(found.observations):
            raise ValueError(f"{found.name[:60]!r}: two parts of its observation have the same name")
        action = found.action
        values = (action.num_values,) if action.modality is Modality.DISCRETE else (action.low, action.high)
        if any(len(each) != action.size for each in values):
            raise ValueError(f"{found.name[:60]!r}: its actions have {action.size} elements, but their ranges do not")
        if any(part.modality is Modality.IMAGE and len(part.shape) != 3 for part in found.observations):
            raise ValueError(f"{found.name[:60]!r}: an image must have height, width and channels")
        return found
