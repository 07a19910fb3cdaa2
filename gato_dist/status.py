"""The state of a run at one moment, and how it is shown: a live table on a terminal, plain lines elsewhere."""

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from gato_dist.config import RunConfig
from gato_dist.files import naming
from gato_dist.results import Aggregate, TaskResult, human_sources
from gato_dist.scores import ScoreRow
from gato_dist.statistics import Estimate

PLAIN_SECONDS = 10.0
WIDTH = 120


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
    quarantined: tasks, and what of each ended.
    """

    phase: str = "starting"
    seconds: float = 0.0
    progress: float = 0.0
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

    def line(self) -> str:
        """Everything in one line, for logs."""
        played = {name: task for name, task in self.tasks.items() if task.fill is not None}
        read = [f"{name} {_loss(task.loss)}" for name, task in self.tasks.items() if task.fill is None]
        parts = [
            f"{_clock(self.seconds)} {self.phase} {self.progress:.0%} step {self.step} loss {_loss(self.loss)}"
            f"{_skips(self)}",
            f"{_env_rates(self) if played else ''}learner {self.learner_tokens_per_second:,.0f}/s",
        ]
        if played:
            fills = " ".join(f"{task.fill:.0%}" for task in played.values())
            fractions = " ".join(f"{name.split('/')[1]}={_fraction(task.score)}" for name, task in played.items())
            parts += [
                f"replay {fills}",
                f"weights v{self.weights_version} lag {self.lag}{_use(self)}",
                f"fraction {fractions}",
            ]
        parts += _relabelled(self)
        if read:
            parts.append(f"{'corpora' if played else 'losses'} {' '.join(read)}")
        parts += _damaged(self)
        if self.quarantined:
            parts.append(f"quarantined {', '.join(self.quarantined)}")
        return " | ".join(parts)


def _use(status: Status) -> str:
    if status.use_p50 is None or status.use_p99 is None:
        return ""
    return f", used after {status.use_p50:.1f} s (p99 {status.use_p99:.1f} s)"


def _damaged(status: Status) -> list[str]:
    """How many documents were skipped; nothing if none was."""
    counts = [f"{name} {task.damaged:,}" for name, task in status.tasks.items() if task.damaged]
    return [f"damaged documents skipped: {', '.join(counts)}"] if counts else []


def _env_rates(status: Status) -> str:
    return (
        f"env {status.env_steps_per_second:,.0f}/s, tokens in {status.tokens_in_per_second:,.0f}/s "
        f"out {status.tokens_out_per_second:,.0f}/s, "
    )


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
    lines = [f"{status.progress:.0%} · {_clock(status.seconds)} · step {status.step:,} · loss {loss}"]
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
    table = Table(box=None, pad_edge=False)
    acts = any(task.gato for task in status.tasks.values())
    weighed = any(task.weight is not None for task in status.tasks.values())
    more = [*["Gato's", "dropped"] * acts, *["weight"] * weighed]
    for name in ("task", "replay", "episodes", *more, "loss", "fraction", "95 % interval"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for name, task in status.tasks.items():
        gato = [f"{task.gato[kind]:,}" if kind in task.gato else "–" for kind in ("episodes", "dropped")] * acts
        gato += [_number(task.weight, ".2f")] * weighed
        fill, episodes = ("–", "–") if task.fill is None else (f"{task.fill:.0%}", f"{task.episodes:,}")
        table.add_row(name, fill, episodes, *gato, _loss(task.loss), _fraction(task.score), _interval(task.score))
    return Group(head, table)


def result_table(results: list[TaskResult]) -> Table:
    """Random, expert and Gato score, fraction and interval of every task; success and human-normalised score if any."""
    success = any(result.success is not None for result in results)
    human = any(result.human_normalised is not None for result in results)
    table = Table(title="expert-score fraction", box=None, pad_edge=False)
    names = ["task", "episodes", "random", "expert", "gato", "± s.e.", "fraction", "95 % interval"]
    for name in [*names, *["success"] * success, *["human-norm."] * human]:
        table.add_column(name, justify="left" if name == "task" else "right")
    for result in results:
        row = result.row
        numbers = [_number(value, ",.2f") for value in (row.random, row.expert, row.mean, result.standard_error)]
        more = [_number(result.success, ".0%")] * success + [_number(result.human_normalised, ".2f")] * human
        table.add_row(row.task, str(row.episodes), *numbers, _fraction(row), _interval(row), *more)
    table.caption = f"human-norm.: by random and human scores as {human_sources(results)} has them" if human else None
    return table


def aggregate_table(aggregates: list[Aggregate]) -> Table:
    """A line for each suite and for all tasks; below, the tasks that are left out."""
    success = any(each.success is not None for each in aggregates)
    human = any(each.human_tasks for each in aggregates)
    table = Table(title="over tasks with a valid expert, with 95 % intervals", box=None, pad_edge=False)
    names = ["suite", "tasks", "mean fraction", "interquartile mean", "> 50 %", "> 80 %"]
    for name in [*names, *["success"] * success, *["human-norm. (median)"] * human]:
        table.add_column(name, justify="left" if name == "suite" else "right", no_wrap=True)
    for each in aggregates:
        more = [_number(each.success, ".0%")] * success
        norm = f"{_number(each.human_mean, '.2f')} ({_number(each.human_median, '.2f')})" if each.human_tasks else "–"
        cells = [_estimate(each.mean), _estimate(each.iqm), str(each.above_50), str(each.above_80)]
        table.add_row(each.name, str(each.tasks), *cells, *more, *[norm] * human)
    missing = dict.fromkeys(task for each in aggregates for task in each.without_expert)
    table.caption = f"left out, without a valid expert: {', '.join(missing)}" if missing else None
    return table


def _estimate(estimate: Estimate | None) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate else "–"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def make_console(width: int = WIDTH) -> Console:
    """Where commands print: as wide as the terminal, or of a width that holds their tables where there is none."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else width)


class View:
    """Shows statuses as they come, and keeps every plain line in `log`."""

    def __init__(self, log: Path, console: Console | None = None) -> None:
        self.console = console or make_console()
        self._log = log.open("a", buffering=1, encoding="utf-8", errors="replace")
        self._live = Live(console=self.console, auto_refresh=False) if self.console.is_terminal else None
        self._printed = float("-inf")

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
        if self._live:
            self._live.update(render(status), refresh=True)
        if time.monotonic() - self._printed >= PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._keep(status.line())
            if not self._live:
                self.console.print(status.line(), markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """One line of news."""
        self._keep(message)
        self.console.print(message, markup=False, soft_wrap=True)

    def _keep(self, line: str) -> None:
        with naming(self._log.name):
            self._log.write(line + "\n")


def _skips(status: Status) -> str:
    return f", {status.skipped} batches skipped" if status.skipped else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def _loss(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _fraction(row: ScoreRow | None) -> str:
    if row is None:
        return "–"
    return "no expert" if row.fraction is None else f"{row.fraction:.2f}"


def _interval(row: ScoreRow | None) -> str:
    if row is None or row.ci_low is None or row.ci_high is None:
        return "–"
    return f"{row.ci_low:.2f} … {row.ci_high:.2f}"
