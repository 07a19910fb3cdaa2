"""Shows the status of a run: a live table on a terminal, plain lines elsewhere and in the log."""

import time
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gato_dist.scores.table import fraction_text, interval_text
from gato_dist.training.status import (
    Status,
    TaskStatus,
    clock_text,
    damage_texts,
    loss_text,
    relabelling_texts,
    skipped_text,
    use_delay_text,
)
from gato_dist.utils.console import PLAIN_SECONDS, NamedTable, make_console, value_text
from gato_dist.utils.files import naming

DROPPED_FIRST = ("dropped", "Gato's", "weight", "episodes", "replay", "95 % interval", "loss")


def render(status: Status) -> Group:
    """Returns the live view: a few lines about the run, and a table with a row per task."""
    head = Text.assemble((f"{status.phase} ", "bold"), "\n".join(_head_lines(status)))
    return Group(head, _task_table(status))


def _head_lines(status: Status) -> list[str]:
    loss = f"{loss_text(status.loss)}{skipped_text(status)}"
    left = "" if status.seconds_left is None else f" · about {clock_text(status.seconds_left)} left"
    lines = [f"{status.done} · {clock_text(status.seconds)}{left} · step {status.step:,} · loss {loss}"]
    learner = f"learner {status.learner_tokens_per_second:,.0f} tokens/s"
    if any(task.is_played for task in status.tasks.values()):
        lines += [
            f"environment {status.env_steps_per_second:,.0f} steps/s · replay in {status.tokens_in_per_second:,.0f} "
            f"out {status.tokens_out_per_second:,.0f} · {learner}",
            f"weights version {status.weights_version}, last scored {status.lag} behind{use_delay_text(status)}",
            *relabelling_texts(status),
        ]
    else:
        lines.append(learner)
    lines += damage_texts(status)
    if status.quarantined:
        lines.append(f"quarantined: {', '.join(status.quarantined)}")
    return lines


def _task_table(status: Status) -> NamedTable:
    tasks = status.tasks.values()
    has_gato = any(task.gato_episodes or task.gato_dropped for task in tasks)
    has_weight = any(task.weight is not None for task in tasks)
    optional = [*["Gato's", "dropped"] * has_gato, *["weight"] * has_weight]
    rows = []
    for name, task in status.tasks.items():
        cells = [f"{count:,}" if count else "–" for count in (task.gato_episodes, task.gato_dropped)] * has_gato
        cells += [value_text(task.weight, ".2f")] * has_weight
        cells += [loss_text(task.loss), fraction_text(task.score), interval_text(task.score)]
        rows.append([name, *_play_cells(task), *cells])
    head = ["task", "replay", "episodes", *optional, "loss", "fraction", "95 % interval"]
    return NamedTable(head, rows, drop=DROPPED_FIRST)


def _play_cells(task: TaskStatus) -> tuple[str, str]:
    return ("–", "–") if task.fill is None else (f"{task.fill:.0%}", f"{task.episodes:,}")


class View:
    """Shows statuses as they come, and keeps every plain line in a log."""

    def __init__(self, log: Path, console: Console | None = None) -> None:
        """Opens the log.

        Args:
            log: the file that lines are appended to.
            console: where to show; by default standard output.
        """
        self.console = console or make_console()
        self._log = log.open("a", buffering=1, encoding="utf-8", errors="replace")
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._printed_at = float("-inf")
        self._task_lines: list[str] = []

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        with naming(self._log.name):
            self._log.close()

    def show(self, status: Status) -> None:
        """Refreshes the live table, and prints plain lines every `PLAIN_SECONDS`."""
        if self._live:
            self._live.update(render(status), refresh=True)
        if time.monotonic() - self._printed_at >= PLAIN_SECONDS:
            self._printed_at = time.monotonic()
            lines, task_lines = status.lines(), status.task_lines()
            # Scores change rarely.
            lines += task_lines if task_lines != self._task_lines else []
            self._task_lines = task_lines
            for line in lines:
                self._write_log(line)
                if not self._live:
                    self.console.print(line, markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """Prints and logs one line."""
        self._write_log(message)
        self.console.print(message, markup=False, soft_wrap=True)

    def _write_log(self, line: str) -> None:
        with naming(self._log.name):
            self._log.write(line + "\n")
