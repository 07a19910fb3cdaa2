"""Reference scores: what a random policy and the expert score on each task, measured by this system."""

import contextlib
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from gato_dist.episode import Episode
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.scores.bootstrap import success_share
from gato_dist.tasks import USER_TASKS_FOLDER, playable_entry
from gato_dist.tokens.tokenizer import ObservationMoments
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import read_as, to_json


@dataclass(frozen=True, kw_only=True)
class Score:
    """The score of one policy on one task, and how it was measured.

    Attributes:
        mean: mean episode return.
        std: standard deviation of episode returns (with n in the denominator).
        episodes: number of episodes.
        seed: seed of the measurement.
        policy: name of the policy.
        policy_hash: content hash of the policy.
        success: share of episodes with success; None if the task does not report success.
        date: date of the measurement, as YYYY-MM-DD.
    """

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
        """Returns the score of episodes that one policy played on one task."""
        returns = [episode.episode_return for episode in episodes]
        provenance = episodes[0].provenance
        return cls(
            mean=float(np.mean(returns)),
            std=float(np.std(returns)),
            episodes=len(episodes),
            seed=seed,
            policy=provenance.policy,
            policy_hash=provenance.policy_hash,
            success=success_share([episode.success for episode in episodes]),
            date=date,
        )


@dataclass(frozen=True)
class Reference:
    """The scores that normalise a task's returns, and the statistics of its observations.

    Attributes:
        random: score of the random policy.
        expert: score of the expert.
        moments: moments of the expert's observations, by name.
    """

    random: Score
    expert: Score
    moments: dict[str, ObservationMoments]

    @property
    def expert_is_random(self) -> bool:
        """Returns whether the random policy stands in for the expert, because the task has none."""
        return self.expert.policy_hash == self.random.policy_hash


def load_reference(task: str) -> Reference:
    """Returns a task's reference.

    Raises:
        InputError: if none was measured, or its file is damaged.
    """
    path = _reference_path(task)
    if not path.is_file():
        options = "" if playable_entry(task).expert else " --expert random, or with an expert of your own"
        raise InputError(f"{task}: no reference scores; measure them with: gato-dist experts score '{task}'{options}")
    try:
        return read_as(Reference, json.loads(path.read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{path}: not a task's reference scores: {brief(error)}") from error


def available_references(tasks: list[str]) -> dict[str, Reference]:
    """Returns the references of those tasks that have one, by task."""
    found = {}
    for task in tasks:
        with contextlib.suppress(InputError):
            found[task] = load_reference(task)
    return found


def hold_reference(task: str) -> AbstractContextManager[None]:
    """Returns a context manager that locks a task's reference file while its scores are measured.

    Raises:
        InputError: if another process measures it.
    """
    return hold_file(_writable_path(task))


def save_reference(task: str, reference: Reference) -> Path:
    """Writes a task's reference to the place where `load_reference` finds it, and returns its path."""
    path = _writable_path(task)
    write_text_atomically(path, to_json(asdict(reference), indent=1) + "\n")
    return path


def _writable_path(task: str) -> Path:
    path = _reference_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _reference_path(task: str) -> Path:
    """References of built-in tasks are in the package, those of users' tasks in the working directory."""
    built_in = Path(str(files("gato_dist") / "assets" / "references"))
    folder = USER_TASKS_FOLDER / "references" if playable_entry(task).user_defined else built_in
    return folder / f"{task_file_name(task)}.json"
