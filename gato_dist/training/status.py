"""The state of a run at one moment, and how it is shown: a live table on a terminal, plain lines elsewhere."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from gato_dist.config.run_config import RunConfig
from gato_dist.scores.table import ScoreRow, fraction_text, interval_text
from gato_dist.utils.console import PLAIN_SECONDS, WIDTH, NamedTable, make_console, value_text
from gato_dist.utils.files import explain_full_disk


@dataclass
class TaskStatus:
    """fill: share of the experts' replay table in use, None for what is read from disk; score: the newest, if any.

    gato: episodes of Gato actors, dropped and imitated ones, where there are such actors; weight: in the mixture, where
    it follows the scores. damaged: documents of a corpus that were skipped.
    """

    fill: float | None = 0.0
    episodes: int = 0
    loss: float | None = None
    score: ScoreRow | None = None
    gato: dict[str, int] = field(default_factory=dict)
    weight: float | None = None
    damaged: int = 0


def new_tasks(config: RunConfig, live: bool = True) -> dict[str, TaskStatus]:
    """The tasks of a run, and its corpora, before anything is known of them. live: whether the tasks are played."""
    corpora = {corpus.name: TaskStatus(fill=None) for corpus in config.corpora}
    return {task.name: TaskStatus(fill=0.0 if live else None) for task in config.tasks} | corpora


@dataclass
class Status:
    """Rates are per second, over the last moments. lag: versions between the newest weights and the last scored.

    skipped: batches without a finite gradient. publish_seconds: that the last broadcast held the learner up; use_p50,
    use_p99: from a broadcast to the weights' use by an actor. sequences: learned from, by
    source; beta: the share of Gato actors' episodes that the expert acts in, None where there is no such actor.
    quarantined: tasks, and what of each ended. seconds_left: until the run ends, as far as it can be told.
    final_episodes: of the final evaluation, how many are done and of how many; None before it.
    """

    phase: str = "starting"
    seconds: float = 0.0
    seconds_left: float | None = None
    progress: float = 0.0
    final_episodes: tuple[int, int] | None = None
    step: int = 0
    loss: float | None = None
    skipped: int = 0
    env_steps_per_second: float = 0.0
    tokens_in_per_second: float = 0.0
    tokens_out_per_second: float = 0.0
    learner_tokens_per_second: float = 0.0
    weights_version: int = 0
    lag: int = 0
    publish_seconds: float | None = None
    use_p50: float | None = None
    use_p99: float | None = None
    sequences: dict[str, int] = field(default_factory=dict)
    beta: float | None = None
    quarantined: tuple[str, ...] = ()
    tasks: dict[str, TaskStatus] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """All but the tasks' scores, for logs, in lines of less than WIDTH characters."""
        played = [task for task in self.tasks.values() if task.fill is not None]
        env = [f"env {self.env_steps_per_second:,.0f}/s"] if played else []
        parts = [
            f"{self._where()} | step {self.step:,}",
            f"loss {_loss(self.loss)}{_skips(self)}",
            *env,
            f"learner {self.learner_tokens_per_second:,.0f}/s",
        ]
        if played:
            fills = [task.fill for task in played if task.fill is not None]
            parts += [
                f"replay {' … '.join(dict.fromkeys(f'{fill:.0%}' for fill in (min(fills), max(fills))))}",
                f"weights v{self.weights_version} lag {self.lag}{_use(self)}",
            ]
        parts += _relabelled(self)
        parts += _damaged(self)
        if self.quarantined:
            parts += [f"quarantined {self.quarantined[0]}", *self.quarantined[1:]]
        return _folded(parts, " | ")

    def task_lines(self) -> list[str]:
        """The newest fraction of every task that is played, and the loss of those that are read, as `lines`."""
        played = [f"{name} {fraction_text(task.score)}" for name, task in self.tasks.items() if task.fill is not None]
        read = [f"{name} {_loss(task.loss)}" for name, task in self.tasks.items() if task.fill is None]
        return _titled("fractions", played) + _titled("losses", read)

    def _where(self) -> str:
        """Time, phase, how much of it is done and how long all of it will still take."""
        left = "" if self.seconds_left is None else f", {_clock(self.seconds_left)} left"
        return f"{_clock(self.seconds)} {self.phase} {self.done}{left}"

    @property
    def done(self) -> str:
        """How much of the phase is done."""
        if self.final_episodes is None:
            return f"{self.progress:.0%}"
        return f"{self.final_episodes[0]:,} of {self.final_episodes[1]:,} episodes"


def _titled(title: str, entries: list[str]) -> list[str]:
    return _folded([f"  {title} {entries[0]}", *entries[1:]], ", ") if entries else []


def _folded(parts: list[str], sign: str) -> list[str]:
    """Parts joined by `sign`, in lines of less than WIDTH characters; later lines are indented."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(sign) + len(part) < WIDTH:
            lines[-1] += sign + part
        else:
            lines.append(f"    {part}")
    return lines


def _use(status: Status) -> str:
    if status.use_p50 is None or status.use_p99 is None:
        return ""
    return f", used after {status.use_p50:.1f} s (p99 {status.use_p99:.1f} s)"


def _damaged(status: Status) -> list[str]:
    """How many documents were skipped; nothing if none was."""
    counts = [f"{name} {task.damaged:,}" for name, task in status.tasks.items() if task.damaged]
    return [f"damaged documents skipped: {', '.join(counts)}"] if counts else []


def _relabelled(status: Status) -> list[str]:
    """What Gato actors did and what of it was learned from; nothing where there are none."""
    if status.beta is None:
        return []
    total = max(sum(status.sequences.values()), 1)
    shares = ", ".join(f"{source} {count / total:.0%}" for source, count in status.sequences.items() if count)
    played, dropped = (
        sum(task.gato.get(kind, 0) for task in status.tasks.values()) for kind in ("episodes", "dropped")
    )
    lost = f", {dropped:,} dropped" if dropped else ""
    return [
        f"Gato actors {played:,} episodes{lost}, β {status.beta:.2f}" + (f" | learned from {shares}" if shares else "")
    ]


def render(status: Status) -> Group:
    """The live view: rates, then a row for every task."""
    live = any(task.fill is not None for task in status.tasks.values())
    loss = f"{_loss(status.loss)}{_skips(status)}"
    left = "" if status.seconds_left is None else f" · about {_clock(status.seconds_left)} left"
    lines = [f"{status.done} · {_clock(status.seconds)}{left} · step {status.step:,} · loss {loss}"]
    learner = f"learner {status.learner_tokens_per_second:,.0f} tokens/s"
    if live:
        lines += [
            f"environment {status.env_steps_per_second:,.0f} steps/s · replay in {status.tokens_in_per_second:,.0f} "
            f"out {status.tokens_out_per_second:,.0f} · {learner}",
            f"weights version {status.weights_version}, last scored {status.lag} behind{_use(status)}",
            *_relabelled(status),
        ]
    else:
        lines.append(learner)
    lines += _damaged(status)
    if status.quarantined:
        lines.append(f"quarantined: {', '.join(status.quarantined)}")
    head = Text.assemble((f"{status.phase} ", "bold"), "\n".join(lines))
    acts = any(task.gato for task in status.tasks.values())
    weighed = any(task.weight is not None for task in status.tasks.values())
    more = [*["Gato's", "dropped"] * acts, *["weight"] * weighed]
    rows = []
    for name, task in status.tasks.items():
        gato = [f"{task.gato[kind]:,}" if kind in task.gato else "–" for kind in ("episodes", "dropped")] * acts
        gato += [value_text(task.weight, ".2f")] * weighed
        fill, episodes = ("–", "–") if task.fill is None else (f"{task.fill:.0%}", f"{task.episodes:,}")
        cells = [*gato, _loss(task.loss), fraction_text(task.score), interval_text(task.score)]
        rows.append([name, fill, episodes, *cells])
    table = NamedTable(
        ["task", "replay", "episodes", *more, "loss", "fraction", "95 % interval"],
        rows,
        drop=("dropped", "Gato's", "weight", "episodes", "replay", "95 % interval", "loss"),
    )
    return Group(head, table)


class View:
    """Shows statuses as they come, and keeps every plain line in `log`."""

    def __init__(self, log: Path, console: Console | None = None) -> None:
        self.console = console or make_console()
        self._log = log.open("a", buffering=1, encoding="utf-8", errors="replace")
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._printed, self._scores = float("-inf"), list[str]()

    def __enter__(self) -> "View":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()
        with explain_full_disk(self._log.name):
            self._log.close()

    def show(self, status: Status) -> None:
        if self._live:
            self._live.update(render(status), refresh=True)
        if time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            lines, scores = status.lines(), status.task_lines()
            # Scores change seldom.
            lines += scores if scores != self._scores else []
            self._scores = scores
            for line in lines:
                self._keep(line)
                if not self._live:
                    self.console.print(line, markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """One line of news."""
        self._keep(message)
        self.console.print(message, markup=False, soft_wrap=True)

    def _keep(self, line: str) -> None:
        with explain_full_disk(self._log.name):
            self._log.write(line + "\n")


def _skips(status: Status) -> str:
    return f", {status.skipped} batches skipped" if status.skipped else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
