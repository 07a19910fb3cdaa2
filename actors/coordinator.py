"""What the processes of a run tell one another: newest weights, evaluation jobs and results, figures, when to end.

Plain Python, without Ray: `ray_actors.py` makes one actor of it, and every call to it is short.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_dist.config.process_sections import EvaluationConfig
from gato_dist.sources import Guidance

MOST_USES = 1000  # newest ones whose delays are kept


@dataclass(frozen=True)
class WeightsNote:
    """A version of the weights that can be fetched. reference: what the transport stored; opaque here.

    published: time.time() of the learner when it gave them away.
    """

    version: int
    step: int
    reference: Any
    published: float


@dataclass(frozen=True)
class EvaluationJob:
    """Score one version on one task. final: the run's last version, scored with more episodes. film: make a video."""

    task: str
    weights: WeightsNote
    final: bool
    film: bool


@dataclass(frozen=True)
class EvaluationResult:
    """Returns of one job's episodes, in the order of their seeds, and their success: None where the task tells none.

    film: a GIF of the first episode, where one was asked for and the task could be drawn.
    """

    task: str
    version: int
    step: int
    returns: tuple[float, ...]
    successes: tuple[bool | None, ...]
    seconds: float
    final: bool
    film: bytes | None = None


class Coordinator:
    """tasks: what evaluators score, and settings how often.

    claim: more seed blocks, whenever all are given away; None where nobody asks for any.

    Versions only grow: an older one than the newest is refused with ValueError.
    """

    def __init__(
        self, tasks: list[str], settings: EvaluationConfig, claim: Callable[[], Iterable[int]] | None = None
    ) -> None:
        self._claim, self._blocks = claim, deque[int]()
        self._tasks, self._settings = tasks, settings
        self._queued = dict.fromkeys(tasks, float("-inf"))  # when each was last asked for
        self._filmed = dict.fromkeys(tasks, time.monotonic())
        self._scored: dict[int, WeightsNote] = {}
        self._weights: WeightsNote | None = None
        self._delays: deque[float] = deque(maxlen=MOST_USES)
        self._jobs: list[EvaluationJob] = []
        self._held: dict[str, EvaluationJob] = {}
        self._last_round = (-1, float("-inf"))  # version, time
        self._final = False
        self._results: list[EvaluationResult] = []
        self._metrics: dict[str, dict[str, float]] = {}
        self._stopping = False
        self._learning = True
        self._learner_done = False
        self._factors: tuple[float, ...] | None = None
        self._troubled = frozenset[int]()
        self._beats: dict[str, float] = {}
        self._replay_places: tuple[Any, ...] = ()
        self._deaths: list[tuple[str, str]] = []
        self._save_step: int | None = None
        self._news: list[str] = []

    def publish(self, version: int, step: int, reference: Any, published: float) -> None:
        """A new version of the weights; the reference to the one before is dropped."""
        if self._weights is not None and version <= self._weights.version:
            raise ValueError(f"weights version {version} does not follow {self._weights.version}")
        self._weights = WeightsNote(version, step, reference, published)

    def newest(self) -> WeightsNote | None:
        return self._weights

    def used(self, delay: float) -> None:
        """An actor acts with a version from now on. delay: seconds since it was published, by the wall clock."""
        self._delays.append(delay)

    def guide(self, factors: tuple[float, ...]) -> None:
        """By which the weight of each of the mixture's tasks is multiplied from now on."""
        self._factors = factors

    def trouble(self, tasks: frozenset[int]) -> None:
        """Indices of the tasks whose experts failed: nobody waits for their first rows."""
        self._troubled = tasks

    def guidance(self) -> Guidance:
        """Progress as the learner last told it."""
        progress = self._metrics.get("learner", {}).get("progress", 0.0)
        return Guidance(progress, self._weights.version if self._weights else 0, self._factors, self._troubled)

    def evaluate_finally(self) -> int:
        """Drops every job before it and queues every task for the newest weights; their version, or −1."""
        self._held, self._final = {}, True
        return self._queue_round(self._tasks) if self._weights else -1

    def next_job(self, evaluator: str) -> EvaluationJob | None:
        """The next task for this evaluator to score, or None: ask again later.

        A round begins when the one before was handed out. A job stays the evaluator's until its result is posted: one
        that died and was started again under its name takes it up anew.
        """
        if evaluator in self._held:
            return self._held[evaluator]
        if not self._jobs and self._weights and not self._final:
            version, began = self._last_round
            if self._weights.version > version and time.monotonic() - began >= self._settings.every_seconds:
                self._queue_round(self._next_tasks())
        if not self._jobs:
            return None
        self._held[evaluator] = self._jobs.pop(0)
        return self._held[evaluator]

    def give_up_job(self, evaluator: str) -> str | None:
        """The task that this evaluator failed to score, if it had one; others come before it is tried again."""
        job = self._held.pop(evaluator, None)
        if job is None:
            return None
        if job.task in self._tasks:
            self._jobs.append(job)
        return job.task

    def leave_out(self, task: str) -> None:
        """Scores the task no more."""
        self._tasks = [each for each in self._tasks if each != task]
        self._jobs = [job for job in self._jobs if job.task != task]

    def claim_block(self) -> int:
        """A seed block that nobody else has: also an actor that was restarted gets a new one."""
        if not self._blocks:
            assert self._claim is not None
            self._blocks.extend(self._claim())
        return self._blocks.popleft()

    def post_result(self, evaluator: str, result: EvaluationResult) -> None:
        held = self._held.get(evaluator)
        if held is not None and (held.task, held.weights.version, held.final) == (
            result.task, result.version, result.final
        ):  # fmt: skip
            del self._held[evaluator]
        self._results.append(result)

    def take_results(self) -> list[EvaluationResult]:
        """Results since the last call. The weights behind them can be had by `scored` until the next one."""
        taken, self._results = self._results, []
        jobs = [*self._jobs, *self._held.values()]
        needed = {job.weights.version for job in jobs} | {result.version for result in taken}
        self._scored = {version: note for version, note in self._scored.items() if version in needed}
        return taken

    def scored(self, version: int) -> WeightsNote | None:
        """Weights that are being scored, or were a moment ago."""
        return self._scored.get(version)

    def report(self, source: str, metrics: dict[str, float], name: str | None = None) -> None:
        """The newest figures of one process; its earlier ones are replaced. name: of an actor that is alive, then."""
        self._metrics[source] = metrics
        if name is not None:
            self.beat(name)

    def tell(self, message: str) -> None:
        """A line for whoever watches the run."""
        self._news.append(message)

    def take_news(self) -> list[str]:
        """Lines since the last call."""
        taken, self._news = self._news, []
        return taken

    def beat(self, name: str) -> None:
        """The actor of this name has made a step, or has reason to wait."""
        self._beats[name] = time.monotonic()

    def forget(self, name: str) -> None:
        """The actor is started anew: it counts as silent only once it has begun."""
        self._beats.pop(name, None)

    def silent(self) -> dict[str, float]:
        """Seconds since each actor was heard of, of those that have begun."""
        now = time.monotonic()
        return {name: now - beat for name, beat in self._beats.items()}

    def metrics(self) -> dict[str, dict[str, float]]:
        """The newest figures by process; `weights`: seconds from publishing a version to its use by an actor."""
        if not self._delays:
            return dict(self._metrics)
        p50, p99 = np.percentile(self._delays, (50, 99))
        return self._metrics | {"weights": {"use_p50": float(p50), "use_p99": float(p99)}}

    def set_replay_addresses(self, places: tuple[Any, ...]) -> None:
        """Where each replay server is from now on; opaque here."""
        self._replay_places = places

    def replay_place(self, shard: int) -> Any:
        return self._replay_places[shard]

    def died(self, source: str, line: str) -> None:
        """What reports under `source` died and is started again; the line says so in the run's log."""
        self._deaths.append((source, line))

    def save_replay(self, step: int) -> None:
        """The learner writes a checkpoint of this step: replay's belongs to it."""
        self._save_step = step

    def take_deaths(self) -> tuple[list[tuple[str, str]], int | None]:
        """What died, and the step for which replay is to be saved, since the last call."""
        taken = self._deaths, self._save_step
        self._deaths, self._save_step = [], None
        return taken

    def end_learning(self) -> None:
        """Asks the learner to end, and nobody else."""
        self._learning = False

    def learning_ends(self) -> bool:
        return self._stopping or not self._learning

    def stop(self) -> None:
        """Asks every process to end."""
        self._stopping = True

    def stopping(self) -> bool:
        return self._stopping

    def finish_learning(self) -> None:
        """The learner's last weights and checkpoint are written."""
        self._learner_done = True

    def learner_done(self) -> bool:
        return self._learner_done

    def _next_tasks(self) -> list[str]:
        """Those whose scores are oldest, as many as a round takes, and all that would be too old before the next."""
        settings, now = self._settings, time.monotonic()
        count = math.ceil(settings.task_fraction * len(self._tasks) - 1e-9)  # a tenth of thirty is three
        bound = math.inf if settings.stale_seconds is None else settings.stale_seconds - settings.every_seconds
        waited = {task: now - queued for task, queued in self._queued.items()}
        longest = sorted(self._tasks, key=lambda task: -waited[task])
        return longest[:count] + [task for task in longest[count:] if waited[task] > bound]

    def _queue_round(self, tasks: list[str]) -> int:
        assert self._weights is not None
        now, weights = time.monotonic(), self._weights
        self._last_round = (weights.version, now)
        self._scored[weights.version] = weights
        self._queued |= dict.fromkeys(tasks, now)
        self._jobs = [EvaluationJob(task, weights, self._final, self._films(task, now)) for task in tasks]
        return weights.version

    def _films(self, task: str, now: float) -> bool:
        """The last weights, and others now and then: what plays at the beginning is not worth watching."""
        every = self._settings.video_seconds
        due = bool(every) and (self._final or now - self._filmed[task] >= every)
        if due:
            self._filmed[task] = now
        return due
