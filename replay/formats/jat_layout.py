"""The layout of huggingface's jat-project/jat-dataset: a folder for each task, a row for each episode, and a column for
each modality.

Parts of one modality are joined, row-major, in the order of their names.
"""

from typing import Any

import pyarrow as pa

from gato_dist.specs import Modality, TaskSpec

OUR_METADATA = b"gato_dist"  # key in the footers of our own files: layout, dtypes and provenance
ACTION_DTYPE = " action"  # key among the names of parts, which never contain a space
REWARDS = "rewards"
TEXTS, IMAGES = "text_observations", "image_observations"
IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
COLUMN_TYPES: dict[str, Any] = {
    TEXTS: pa.list_(pa.string()),
    IMAGES: pa.list_(IMAGE_TYPE),
    "discrete_observations": pa.list_(pa.list_(pa.int64())),
    "continuous_observations": pa.list_(pa.list_(pa.float32())),
    "discrete_actions": pa.list_(pa.list_(pa.int64())),
    "continuous_actions": pa.list_(pa.list_(pa.float32())),
    REWARDS: pa.list_(pa.float32()),
}


def observation_column(modality: Modality) -> str:
    """Returns the column with a modality's observations."""
    return f"{modality}_observations"


def action_column(spec: TaskSpec) -> str:
    """Returns the column with a task's actions."""
    return f"{spec.action.modality}_actions"


def task_columns(spec: TaskSpec) -> list[str]:
    """Returns the columns of a task's files."""
    modalities = {part.modality for part in spec.observations}
    observations = [observation_column(modality) for modality in Modality if modality in modalities]
    return [*observations, action_column(spec), REWARDS]


def has_single_choice(spec: TaskSpec, column: str) -> bool:
    """Returns whether a column holds one discrete action per step: a number, not a list of one."""
    return column == "discrete_actions" and not spec.action.shape
