"""How many tokens a time step takes in the `paper` and the `compact` encoding."""

from typing import Literal

from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.patches import patches_per_image

Encoding = Literal["paper", "compact"]
GRID_VALUES = 16  # The numbers of a compact grid are 0 … 15.


def min_step_tokens(spec: TaskSpec, encoding: Encoding) -> int:
    """Returns the tokens of a step without its text: observations, separator and actions."""
    return observation_tokens(spec, encoding) + 1 + spec.action.size


def observation_tokens(spec: TaskSpec, encoding: Encoding) -> int:
    """Returns the observation tokens of a step, without its text and its separator."""
    return sum(part_tokens(part, encoding) for part in spec.observations)


def part_tokens(part: ObservationSpec, encoding: Encoding) -> int:
    """Returns the tokens of one step of an observation part; 0 for text, whose length varies."""
    if part.modality is Modality.TEXT:
        return 0
    if part.modality is Modality.IMAGE:
        return patches_per_image(*part.shape[:2])
    if not is_compact(part, encoding):
        return part.size
    # One token for each row of a grid: attention then finds the cell that a mission asks for. One token for the whole
    # grid would be a sum over all cells.
    return part.shape[0] if part.modality is Modality.DISCRETE and len(part.shape) > 1 else 1


def tensor_width(spec: TaskSpec, encoding: Encoding) -> int:
    """Returns the size of the task's largest compact tensor; 0 if it has none."""
    compact = [part for part in spec.observations if is_compact(part, encoding)]
    return max((part.size // part_tokens(part, encoding) for part in compact), default=0)


def is_compact(part: ObservationSpec, encoding: Encoding) -> bool:
    """Returns whether whole tensors of this part become tokens. Integers larger than a grid's keep their own tokens."""
    is_grid = part.modality is Modality.DISCRETE and part.num_values <= GRID_VALUES
    return encoding == "compact" and (is_grid or part.modality is Modality.CONTINUOUS)
