"""Mean and variance of the observations of imported tasks, kept with their dataset in `moments.json`.

Imported tasks have no environment here, so that nothing else could measure them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from gato_dist.episode import Episode
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import Modality, TaskSpec
from gato_dist.tokens.tokenizer import ObservationMoments
from gato_dist.utils.typed_json import read_as, to_json
from replay.dataset.storage import Location

FILE = "moments.json"
TaskMoments = dict[str, ObservationMoments]  # by continuous part


def load_moments(root: Location) -> dict[str, TaskMoments]:
    """Reads the moments of a dataset.

    Returns:
        Task → its moments; empty if the dataset has none.

    Raises:
        InputError: the file is damaged.
    """
    path = root / FILE
    if not path.exists():
        return {}
    try:
        return read_as(dict[str, TaskMoments], json.loads(path.read_text()))
    except READ_ERRORS as error:
        raise InputError(f"{path}: not a file of moments ({brief(error)})") from error


def save_moments(root: Location, moments: Mapping[str, TaskMoments]) -> None:
    """Writes task → moments into a dataset. Writes no file if there are none."""
    if moments:
        data = {task: {name: asdict(each) for name, each in parts.items()} for task, parts in moments.items()}
        (root / FILE).write_text(to_json(data, indent=1) + "\n")


def measure_moments(spec: TaskSpec, episodes: Sequence[Episode]) -> TaskMoments:
    """Returns the moments of every continuous part over the steps of all episodes."""
    names = [part.name for part in spec.observations if part.modality is Modality.CONTINUOUS]
    values = {name: [np.asarray(episode.observations[name]) for episode in episodes] for name in names}
    return {name: ObservationMoments.of(np.concatenate(each)) for name, each in values.items()}


def pool_moments(parts: Sequence[TaskMoments]) -> TaskMoments:
    """Returns the moments of all samples together."""
    return {name: ObservationMoments.pooled([each[name] for each in parts]) for name in parts[0]} if parts else {}
