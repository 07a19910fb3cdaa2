"""quarantine.json of a run folder: the tasks that were left out of the newest start, and why."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.typed_json import read_as, to_json


class Part(StrEnum):
    """The part of a task that is quarantined. Gato actors stop together with the task's experts, which they need."""

    EXPERTS = "experts"
    GATO = "Gato actors"
    EVALUATION = "evaluation"


@dataclass(frozen=True)
class Quarantined:
    """One entry of quarantine.json.

    Attributes:
        task: the task's name.
        part: the value of a `Part`.
        tries: how often an actor of this part failed.
        reason: how the last of them failed.
    """

    task: str
    part: str
    tries: int
    reason: str

    def __str__(self) -> str:
        return f"{self.task} ({self.part}: {self.reason}; {self.tries} tries)"


def read_quarantine(path: Path) -> list[Quarantined]:
    """Returns what was quarantined at the end of the newest start; an empty list if there is no such file.

    Raises:
        InputError: if the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        return read_as(list[Quarantined], json.loads(path.read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged ({brief(error)}); remove it") from error


def write_quarantine(path: Path, entries: Sequence[Quarantined]) -> None:
    """Replaces the file by these entries."""
    write_text_atomically(path, to_json([asdict(entry) for entry in entries], indent=1) + "\n")


def quarantine_text(entries: Sequence[Quarantined]) -> str:
    """Returns all entries in one line; an empty string if there are none."""
    return f"quarantined: {'; '.join(map(str, entries))}" if entries else ""
