"""Tasks whose actors crash, raise errors or hang: tried again a few times, then left out, while the others go on."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.restarts import RecentFailures
from gato_dist.utils.typed_json import read_as, to_json

FORGET_SECONDS = 7200.0


class Part(StrEnum):
    """What of a task ended. With its experts go its Gato actors, which play the same environment beside an expert."""

    EXPERTS = "experts"
    GATO = "Gato actors"
    EVALUATION = "evaluation"


WHAT_GOES_ON = {
    Part.EXPERTS: "the learner keeps what its table holds",
    Part.GATO: "its experts go on alone",
    Part.EVALUATION: "it is scored no more",
}


@dataclass(frozen=True)
class Quarantined:
    """A line of quarantine.json. tries: that failed; reason: what the last of them did."""

    task: str
    part: str
    tries: int
    reason: str

    def __str__(self) -> str:
        return f"{self.task} ({self.part}: {self.reason}; {self.tries} tries)"


class Quarantine:
    """Counts the tries of one start of a run; keeps who is out in a file, in a run folder. A new start forgets all."""

    def __init__(self, path: Path, tries: int, hang_seconds: float = 0.0) -> None:
        """tries: starts of an actor that may fail before its task is out; hang_seconds: that one may take to fail.

        Over days every machine fails now and then, which is no fault of the task's: tries are forgotten after two
        hours, or twice as long as all of them take if all of them hang.
        """
        self._path, self._most = path, tries
        within = max(FORGET_SECONDS, 2 * tries * hang_seconds)
        self._failures: dict[tuple[Part, str], RecentFailures] = defaultdict(partial(RecentFailures, within))
        self._failed: set[tuple[str, Part]] = set()
        self.out: list[Quarantined] = []
        path.unlink(missing_ok=True)

    def failed(self, name: str, task: str, part: Part, reason: str) -> str:
        """Notes that an actor failed in a task; a line that says so, and what follows.

        Experts and Gato actors count each for itself: one of many copies that lost its machine says little of the task.
        Evaluators take turns, and count together.
        """
        key = (part, task if part is Part.EVALUATION else name)
        self._failed.add((task, part))
        tries, does = self._failures[key].add(), f"{name}{f' in {task}' * (part is Part.EVALUATION)} {reason}"
        if self.has(task, part):
            return f"{does}; starting it again"
        if tries < self._most:
            return f"{does}; starting it again (try {tries + 1} of {self._most})"
        self.out.append(Quarantined(task, str(part), tries, reason))
        write_text_atomically(self._path, to_json([asdict(each) for each in self.out], indent=1) + "\n")
        return f"{does}, {tries} tries: {task} is quarantined from {part}; {WHAT_GOES_ON[part]}"

    def has(self, task: str, part: Part) -> bool:
        """Whether this part of the task is out."""
        ends = {str(part)} | ({str(Part.EXPERTS)} if part is Part.GATO else set())
        return any(each.task == task and each.part in ends for each in self.out)

    def tasks(self, part: Part) -> set[str]:
        """Those of which this part is out."""
        return {each.task for each in self.out if self.has(each.task, part)}

    def troubled(self, tasks: Sequence[str]) -> frozenset[int]:
        """Which of these tasks had an expert that failed, by their place."""
        return frozenset(i for i, task in enumerate(tasks) if (task, Part.EXPERTS) in self._failed)

    def why_end(self, played: Iterable[str], scored: Iterable[str]) -> str | None:
        """Why the run cannot go on; None where it can.

        played: tasks that the learner has from live experts alone, if it has nothing else; scored: all tasks.
        """
        for tasks, part, what in ((played, Part.EXPERTS, "learn from"), (scored, Part.EVALUATION, "score")):
            names = list(tasks)
            if names and all(self.has(name, part) for name in names):
                each = "; ".join(str(out) for out in self.out if out.part == part)
                return (
                    f"every task is quarantined, nothing is left to {what}: {each}; mend them and go on with --resume"
                )
        return None


def read_quarantine(path: Path) -> list[Quarantined]:
    """Who was out at the end of the newest start; nobody where there is no file. Raises InputError where it is none."""
    if not path.is_file():
        return []
    try:
        return read_as(list[Quarantined], json.loads(path.read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged ({brief(error)}); remove it") from error


def quarantine_text(out: Sequence[Quarantined]) -> str:
    """All of them in one line; empty where there is none."""
    return f"quarantined: {'; '.join(map(str, out))}" if out else ""
