"""Reference scores: what random and the expert score on each task, and what others published."""

import contextlib
import csv
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from gato_dist.episode import Episode
from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.scores.bootstrap import success_share
from gato_dist.tasks import OWN_FOLDER, played_entry
from gato_dist.tokens.tokenizer import ObservationMoments
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import read_as, to_json


@dataclass(frozen=True)
class Score:
    """What one policy scored on a task: mean and standard deviation of episode returns, and how it was measured."""

    mean: float
    std: float
    episodes: int
    seed: int
    policy: str
    policy_hash: str
    success: float | None
    date: str

    @classmethod
    def of(cls, episodes: list[Episode], seed: int, date: str) -> "Score":
        returns = [episode.episode_return for episode in episodes]
        source = episodes[0].provenance
        return cls(
            float(np.mean(returns)), float(np.std(returns)), len(episodes), seed, source.policy, source.policy_hash,
            success_share([episode.success for episode in episodes]), date,
        )  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What a task's scores are measured against, and the moments of its observations, as measured by this system."""

    random: Score
    expert: Score
    moments: dict[str, ObservationMoments]

    @property
    def random_alone(self) -> bool:
        """Whether random stands in the expert's place: the task has none, and its fraction is undefined."""
        return self.expert.policy_hash == self.random.policy_hash


def _reference_path(task: str) -> Path:
    """Shipped tasks keep theirs with the package, a user's own where the command runs."""
    shipped = Path(str(files("gato_dist") / "assets" / "references"))
    folder = OWN_FOLDER / "references" if played_entry(task).own else shipped
    return folder / f"{task_file_name(task)}.json"


def load_reference(task: str) -> Reference:
    """A task's reference. Raises InputError where none was measured."""
    path = _reference_path(task)
    if not path.is_file():
        kind = "" if played_entry(task).expert else " --expert random, or with an expert of your own"
        raise InputError(f"{task}: no reference scores; measure them with: gato-dist experts score '{task}'{kind}")
    try:
        return read_as(Reference, json.loads(path.read_text("utf-8")))
    except DAMAGED as error:
        raise InputError(f"{path}: not a task's reference scores: {brief(error)}") from error


def known_references(tasks: list[str]) -> dict[str, Reference]:
    """Those of the tasks that have any here."""
    found = {}
    for task in tasks:
        with contextlib.suppress(InputError):
            found[task] = load_reference(task)
    return found


def hold_reference(task: str) -> AbstractContextManager[None]:
    """Makes this process the only one that measures a task's reference. Raises InputError where another one does."""
    path = _reference_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    return hold_file(path)


def save_reference(task: str, reference: Reference) -> Path:
    """Writes a task's reference where `load_reference` finds it; returns the path."""
    path = _reference_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(to_json(asdict(reference), indent=1) + "\n", "utf-8")
    partial.rename(path)
    return path


@dataclass(frozen=True)
class External:
    """A score that someone else published for a task; None where the source has no such figure."""

    source: str
    random: float | None
    expert: float | None
    human: float | None


@cache
def _external_table() -> dict[str, list[External]]:
    text = (files("gato_dist") / "assets" / "external.csv").read_text("utf-8")
    table: dict[str, list[External]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        figures = (_number(row[name]) for name in ("random", "expert", "human"))
        table.setdefault(row["task"], []).append(External(row["source"], *figures))
    return table


def load_external(task: str) -> list[External]:
    """What others published for a task: shown beside our own scores, and never mixed with them."""
    return _external_table().get(task, [])


def _number(text: str) -> float | None:
    return float(text) if text else None
