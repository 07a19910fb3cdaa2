"""The state of a run at one moment, and its plain text lines."""

from dataclasses import dataclass, field

from gato_dist.config.run_config import RunConfig
from gato_dist.scores.table import ScoreRow, fraction_text
from gato_dist.telemetry import LearnerReport
from gato_dist.utils.console import WIDTH


@dataclass(kw_only=True)
class TaskStatus:
    """The state of one task or corpus.

    Attributes:
        fill: share of the experts' replay table that is in use; None if the data are read from disk.
        episodes: episodes of experts in this start.
        loss: the learner's newest loss.
        score: the newest score.
        gato_episodes: episodes of Gato actors, over all starts.
        gato_dropped: episodes of Gato actors that were dropped, over all starts.
        weight: the current weight in the mixture, if the mixture follows the scores.
        damaged: documents of a corpus that were skipped.
    """

    fill: float | None = 0.0
    episodes: int = 0
    loss: float | None = None
    score: ScoreRow | None = None
    gato_episodes: int = 0
    gato_dropped: int = 0
    weight: float | None = None
    damaged: int = 0

    @property
    def is_played(self) -> bool:
        """Whether actors play the task, rather than data being read from disk."""
        return self.fill is not None


def new_tasks(config: RunConfig, live: bool = True) -> dict[str, TaskStatus]:
    """Returns the initial state of a run's tasks and corpora.

    Args:
        config: the run's configuration.
        live: whether the tasks are played.
    """
    corpora = {corpus.name: TaskStatus(fill=None) for corpus in config.corpora}
    return {task.name: TaskStatus(fill=0.0 if live else None) for task in config.tasks} | corpora


@dataclass(kw_only=True)
class Status:
    """The state of a run. Rates are per second, over the last seconds.

    Attributes:
        phase: what the run does at the moment.
        seconds: since this start.
        seconds_left: estimate until the run ends; None if unknown.
        progress: the share of the training that is over, 0 … 1.
        final_episodes: of the final evaluation, finished and total episodes; None before it begins.
        step: the learner's step.
        loss: mean over all tasks.
        skipped: batches without a finite gradient.
        env_steps_per_second: of experts and Gato actors.
        tokens_in_per_second: written to replay.
        tokens_out_per_second: read from replay; an estimate from the mean length of sequences.
        learner_tokens_per_second: learned from.
        weights_version: the newest one.
        lag: versions between the newest weights and the last scored ones.
        publish_seconds: how long the last broadcast held the learner up.
        use_p50: seconds from a broadcast to the weights' use by an actor: the median.
        use_p99: the same: the 99th percentile.
        sequences: sequences that were learned from, by source, over all starts.
        beta: the probability that the expert acts in an episode of a Gato actor; None without Gato actors.
        quarantined: tasks with what of them was quarantined.
        tasks: by name.
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

    def update_learner(self, report: LearnerReport) -> None:
        """Takes over the learner's newest report. Losses and rates stay if the learner made no step meanwhile."""
        self.step, self.progress, self.skipped = report.step, report.progress, report.skipped
        self.publish_seconds = report.publish_seconds
        if (recent := report.recent) is None:
            return
        self.loss, self.learner_tokens_per_second = recent.loss, recent.tokens_per_second
        for name, task in self.tasks.items():
            task.loss = recent.task_losses.get(name, task.loss)

    def lines(self) -> list[str]:
        """Returns everything but the tasks' scores, in lines of less than `WIDTH` characters."""
        played = [task for task in self.tasks.values() if task.is_played]
        env = [f"env {self.env_steps_per_second:,.0f}/s"] if played else []
        parts = [
            f"{self._time_and_phase()} | step {self.step:,}",
            f"loss {loss_text(self.loss)}{skipped_text(self)}",
            *env,
            f"learner {self.learner_tokens_per_second:,.0f}/s",
        ]
        if played:
            fills = [task.fill for task in played if task.fill is not None]
            parts += [
                f"replay {' … '.join(dict.fromkeys(f'{fill:.0%}' for fill in (min(fills), max(fills))))}",
                f"weights v{self.weights_version} lag {self.lag}{use_delay_text(self)}",
            ]
        parts += relabelling_texts(self)
        parts += damage_texts(self)
        if self.quarantined:
            parts += [f"quarantined {self.quarantined[0]}", *self.quarantined[1:]]
        return _wrapped(parts, " | ")

    def task_lines(self) -> list[str]:
        """Returns the newest fraction of every played task and the loss of every other one, in lines like `lines`."""
        played = [f"{name} {fraction_text(task.score)}" for name, task in self.tasks.items() if task.is_played]
        read = [f"{name} {loss_text(task.loss)}" for name, task in self.tasks.items() if not task.is_played]
        return _titled("fractions", played) + _titled("losses", read)

    def _time_and_phase(self) -> str:
        left = "" if self.seconds_left is None else f", {clock_text(self.seconds_left)} left"
        return f"{clock_text(self.seconds)} {self.phase} {self.done}{left}"

    @property
    def done(self) -> str:
        """How much of the phase is done."""
        if self.final_episodes is None:
            return f"{self.progress:.0%}"
        return f"{self.final_episodes[0]:,} of {self.final_episodes[1]:,} episodes"


def clock_text(seconds: float) -> str:
    """Returns minutes and seconds, such as `62:03`."""
    return f"{int(seconds) // 60:02d}:{int(seconds) % 60:02d}"


def loss_text(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def skipped_text(status: Status) -> str:
    """Returns how many batches were skipped; empty if none was."""
    return f", {status.skipped} batches skipped" if status.skipped else ""


def use_delay_text(status: Status) -> str:
    """Returns how soon actors use new weights; empty if unknown."""
    if status.use_p50 is None or status.use_p99 is None:
        return ""
    return f", used after {status.use_p50:.1f} s (p99 {status.use_p99:.1f} s)"


def damage_texts(status: Status) -> list[str]:
    """Returns how many documents of each corpus were skipped; empty if none was."""
    counts = [f"{name} {task.damaged:,}" for name, task in status.tasks.items() if task.damaged]
    return [f"damaged documents skipped: {', '.join(counts)}"] if counts else []


def relabelling_texts(status: Status) -> list[str]:
    """Returns what Gato actors did and which sources the learner learned from; empty without Gato actors."""
    if status.beta is None:
        return []
    total = max(sum(status.sequences.values()), 1)
    shares = ", ".join(f"{source} {count / total:.0%}" for source, count in status.sequences.items() if count)
    episodes = sum(task.gato_episodes for task in status.tasks.values())
    dropped = sum(task.gato_dropped for task in status.tasks.values())
    lost = f", {dropped:,} dropped" if dropped else ""
    learned = f" | learned from {shares}" if shares else ""
    return [f"Gato actors {episodes:,} episodes{lost}, β {status.beta:.2f}{learned}"]


def _titled(title: str, entries: list[str]) -> list[str]:
    return _wrapped([f"  {title} {entries[0]}", *entries[1:]], ", ") if entries else []


def _wrapped(parts: list[str], separator: str) -> list[str]:
    """Joins parts into lines of less than `WIDTH` characters; all but the first line are indented."""
    lines = [parts[0]]
    for part in parts[1:]:
        if len(lines[-1]) + len(separator) + len(part) < WIDTH:
            lines[-1] += separator + part
        else:
            lines.append(f"    {part}")
    return lines
