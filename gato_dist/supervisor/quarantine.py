"""Decides when a task whose actors keep failing is quarantined: left out, while the run goes on with the others."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from gato_dist.records.quarantine import Part, Quarantined, write_quarantine
from gato_dist.utils.restarts import RecentFailures

FORGET_SECONDS = 7200.0
CONSEQUENCE = {
    Part.EXPERTS: "the learner keeps what its table holds",
    Part.GATO: "its experts go on alone",
    Part.EVALUATION: "it is no longer scored",
}


class Quarantine:
    """Counts the failures of actors during one start of a run, and records quarantined tasks in a file.

    Attributes:
        entries: what is quarantined, in the order in which it happened.
    """

    def __init__(self, path: Path, tries: int, hang_seconds: float = 0.0) -> None:
        """Begins without any failure, and removes the file of the start before.

        Args:
            path: quarantine.json in the run folder.
            tries: how many failures of an actor quarantine its task.
            hang_seconds: after which a silent actor counts as hanging. Every machine fails now and then during a run
                of days, which is no fault of the task. Failures are therefore forgotten after two hours, or after
                twice the time that `tries` hanging actors take if that is longer.
        """
        self._path, self._tries = path, tries
        within = max(FORGET_SECONDS, 2 * tries * hang_seconds)
        self._failures: dict[tuple[Part, str], RecentFailures] = defaultdict(partial(RecentFailures, within))
        self._failed: set[tuple[str, Part]] = set()
        self.entries: list[Quarantined] = []
        path.unlink(missing_ok=True)

    def failed(self, name: str, task: str, part: Part, reason: str) -> str:
        """Counts a failure, and quarantines the task if there were too many.

        Experts and Gato actors are counted one by one: if one of many copies loses its machine, this says little about
        the task. Evaluators take turns at the tasks, so that their failures in a task are counted together.

        Args:
            name: of the actor.
            task: that the actor played.
            part: the actor's part of the task.
            reason: how it failed, such as "died".

        Returns:
            A line for the run's log: what failed, and whether it is restarted.
        """
        key = (part, task if part is Part.EVALUATION else name)
        self._failed.add((task, part))
        count = self._failures[key].add()
        event = f"{name}{f' in {task}' * (part is Part.EVALUATION)} {reason}"
        if self.has(task, part):
            return f"{event}; starting it again"
        if count < self._tries:
            return f"{event}; starting it again (try {count + 1} of {self._tries})"
        self.entries.append(Quarantined(task, str(part), count, reason))
        write_quarantine(self._path, self.entries)
        return f"{event}, {count} tries: {task} is quarantined from {part}; {CONSEQUENCE[part]}"

    def has(self, task: str, part: Part) -> bool:
        """Returns whether this part of the task is quarantined."""
        parts = {str(part)} | ({str(Part.EXPERTS)} if part is Part.GATO else set())
        return any(entry.task == task and entry.part in parts for entry in self.entries)

    def tasks(self, part: Part) -> set[str]:
        """Returns the tasks of which this part is quarantined."""
        return {entry.task for entry in self.entries if self.has(entry.task, part)}

    def troubled(self, tasks: Sequence[str]) -> frozenset[int]:
        """Returns the indices of those tasks of which an expert has failed at least once."""
        return frozenset(i for i, task in enumerate(tasks) if (task, Part.EXPERTS) in self._failed)

    def why_end(self, live: Iterable[str], scored: Iterable[str]) -> str | None:
        """Returns why the run cannot go on; None if it can.

        Args:
            live: the tasks that the learner gets from live experts; empty if it also learns from something else.
            scored: all tasks of the run.
        """
        for tasks, part, verb in ((live, Part.EXPERTS, "learn from"), (scored, Part.EVALUATION, "score")):
            names = list(tasks)
            if names and all(self.has(name, part) for name in names):
                reasons = "; ".join(str(entry) for entry in self.entries if entry.part == part)
                return (
                    f"every task is quarantined, nothing is left to {verb}: {reasons}; fix them and go on with --resume"
                )
        return None
