"""Moments of the observations of imported tasks, kept with their dataset: nobody can play them to measure any."""

import json
from dataclasses import asdict

import numpy as np

from gato_dist.episode import Episode
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import Modality, TaskSpec
from gato_dist.tokens.tokenizer import Moments
from gato_dist.utils.typed_json import read_as, to_json
from replay.dataset.storage import Location

FILE = "moments.json"
TaskMoments = dict[str, Moments]  # by continuous part


def load_moments(root: Location) -> dict[str, TaskMoments]:
    """By task; empty where the dataset keeps none. Raises InputError for a file that is damaged."""
    path = root / FILE
    if not path.exists():
        return {}
    try:
        return read_as(dict[str, TaskMoments], json.loads(path.read_text()))
    except READ_ERRORS as error:
        raise InputError(f"{path}: not a file of moments ({brief(error)})") from error


def save_moments(root: Location, moments: dict[str, TaskMoments]) -> None:
    """Writes nothing where there is nothing to keep."""
    if moments:
        data = {task: {name: asdict(each) for name, each in parts.items()} for task, parts in moments.items()}
        (root / FILE).write_text(to_json(data, indent=1) + "\n")


def moments_of(spec: TaskSpec, episodes: list[Episode]) -> TaskMoments:
    """Of every continuous part, over the steps of all `episodes`."""
    names = [part.name for part in spec.observations if part.modality is Modality.CONTINUOUS]
    values = {name: [np.asarray(episode.observations[name]) for episode in episodes] for name in names}
    return {name: Moments.of(np.concatenate(each)) for name, each in values.items()}


def pool(some: list[TaskMoments]) -> TaskMoments:
    """The moments of all samples together, part by part."""
    return {name: Moments.pooled([each[name] for each in some]) for name in some[0]} if some else {}
