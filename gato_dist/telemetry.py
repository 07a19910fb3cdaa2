"""What the processes of a run report about themselves: one type per kind of process."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

R = TypeVar("R", bound="Report")


class Report(ABC):
    """The newest state of one process. A later report of the same process replaces it."""

    @property
    @abstractmethod
    def process(self) -> str:
        """The name of the reporting process, unique in a run."""

    @property
    def evidence_of_start(self) -> object:
        """A value that changes once a restarted process has reported: by default, the whole report."""
        return self


@dataclass(kw_only=True)
class ActorReport(Report):
    """Counters of a process that plays a task. They begin at 0 when the process starts, and only grow.

    Attributes:
        task: the name of the task that it plays.
        number: tells the reports of one task apart.
        env_steps: steps of all environments that belong to an episode.
        episodes: finished episodes of the policy that the process is named after.
        tokens: tokens of the sequences that were written to replay.
        return_sum: the sum of these episodes' returns.
        play_seconds: time spent in environments and policies.
        encode_seconds: time spent on tokens.
        write_seconds: time spent on writing to replay, including the wait for room.
    """

    task: str
    number: int
    env_steps: int = 0
    episodes: int = 0
    tokens: int = 0
    return_sum: float = 0.0
    play_seconds: float = 0.0
    encode_seconds: float = 0.0
    write_seconds: float = 0.0


@dataclass(kw_only=True)
class ExpertReport(ActorReport):
    """Counters of an expert actor. `number` is its copy: a restarted actor replaces the report of its predecessor."""

    @property
    def process(self) -> str:
        return f"expert/{self.task}/{self.number}"


@dataclass(kw_only=True)
class GatoActorReport(ActorReport):
    """Counters of a Gato actor. `number` is its seed block, so that reports from before a restart are kept.

    Attributes:
        expert_episodes: finished episodes in which the expert acted.
        dropped: episodes that were discarded because the expert was lost or raised an error.
        imitated: episodes of Gato that were good enough to be learned from as they are.
        beta: the current probability that the expert acts in an episode.
    """

    expert_episodes: int = 0
    dropped: int = 0
    imitated: int = 0
    beta: float = 0.0

    @property
    def process(self) -> str:
        return f"gato/{self.task}/{self.number}"


@dataclass(frozen=True, kw_only=True)
class RecentTraining:
    """Means and rates of the learner since its last report.

    Attributes:
        loss: mean over all target tokens.
        task_losses: the same per task; only tasks that were in a batch.
        tokens_per_second: tokens learned from, over all workers.
        steps_per_second: updates of the weights.
        wait_seconds: time spent waiting for batches since the learner started.
    """

    loss: float
    task_losses: Mapping[str, float]
    tokens_per_second: float
    steps_per_second: float
    wait_seconds: float


@dataclass(frozen=True, kw_only=True)
class LearnerReport(Report):
    """Progress of the learner, reported by its first worker.

    Attributes:
        step: updates of the weights, over all starts of the run.
        tokens: tokens learned from, over all starts.
        seconds: wall-clock seconds of training, over all starts.
        weights_version: the newest version that was published.
        skipped: batches that were skipped because their gradient was not finite.
        progress: the share of the run that is over, 0 … 1.
        learning_rate: the current one.
        publish_seconds: how long the last broadcast held the learner up.
        damaged: documents that were skipped, by corpus; only corpora with any.
        recent: what happened since the last report; None if no step was made.
        began: `time.time()` at which this learner started.
    """

    step: int
    tokens: int
    seconds: float
    weights_version: int
    skipped: int
    progress: float
    learning_rate: float
    publish_seconds: float
    damaged: Mapping[str, int] = field(default_factory=dict)
    recent: RecentTraining | None = None
    began: float = 0.0

    @property
    def process(self) -> str:
        return "learner"

    @property
    def evidence_of_start(self) -> float:
        # The workers of a driver that was killed go on for a few steps, and report meanwhile.
        return self.began


@dataclass(frozen=True, kw_only=True)
class MixtureReport(Report):
    """What the batches of one learner worker were made of.

    Attributes:
        rank: the worker's.
        counts: the counters of `replay.usage.Usage`, under the names that usage.json gives them.
    """

    rank: int
    counts: Mapping[str, int]

    @property
    def process(self) -> str:
        return f"mixture/{self.rank}"


@dataclass(frozen=True, kw_only=True)
class EvaluatorReport(Report):
    """State of an evaluator.

    Attributes:
        name: the evaluator's.
        ready: `time.time()` at which it could begin to score.
        final_episodes: finished episodes of the job of the final evaluation that it works on; None outside of one.
    """

    name: str
    ready: float
    final_episodes: int | None = None

    @property
    def process(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class TableReport:
    """Counters of a replay table.

    Attributes:
        size: sequences that it holds.
        inserted: sequences ever written.
        sampled: sequences ever drawn.
    """

    size: int
    inserted: int
    sampled: int

    def __add__(self, other: "TableReport") -> "TableReport":
        return TableReport(
            size=self.size + other.size,
            inserted=self.inserted + other.inserted,
            sampled=self.sampled + other.sampled,
        )


@dataclass(frozen=True, kw_only=True)
class UseDelays:
    """Seconds from the publication of weights to their first use by an actor: median and 99th percentile."""

    p50: float
    p99: float


@dataclass(frozen=True, kw_only=True)
class Telemetry:
    """The newest report of every process of a run.

    Attributes:
        reports: by `Report.process`.
        use_delays: None before any actor has used weights.
    """

    reports: Mapping[str, Report] = field(default_factory=dict)
    use_delays: UseDelays | None = None

    @property
    def actors(self) -> list[ActorReport]:
        """Reports of experts and Gato actors."""
        return [*self.experts, *self.gato_actors]

    @property
    def experts(self) -> list[ExpertReport]:
        return self._of(ExpertReport)

    @property
    def gato_actors(self) -> list[GatoActorReport]:
        return self._of(GatoActorReport)

    @property
    def evaluators(self) -> list[EvaluatorReport]:
        return self._of(EvaluatorReport)

    @property
    def mixtures(self) -> list[MixtureReport]:
        return self._of(MixtureReport)

    @property
    def learner(self) -> LearnerReport | None:
        return next(iter(self._of(LearnerReport)), None)

    def _of(self, kind: type[R]) -> list[R]:
        return [report for report in self.reports.values() if isinstance(report, kind)]
