"""Which task each evaluator scores next, and the results."""

import math
import time
from dataclasses import dataclass

from actors.coordination.mailbox import Mailbox
from actors.coordination.weights import PublishedWeights
from gato_dist.config.sections import EvaluationConfig


@dataclass(frozen=True, kw_only=True)
class EvaluationJob:
    """One task to be scored with one version of the weights.

    Attributes:
        task: the task's name.
        weights: the version to score.
        final: whether the job belongs to the final evaluation, which plays more episodes.
        film: whether to record a video of the first episode.
    """

    task: str
    weights: PublishedWeights
    final: bool
    film: bool


@dataclass(frozen=True, kw_only=True)
class EvaluationResult:
    """The episodes of one evaluation job.

    Attributes:
        task: the task's name.
        version: the weights version that was scored.
        step: the learner step of these weights.
        returns: the return of each episode, in the order of the held-out seeds.
        successes: whether each episode succeeded; None if the task does not define success.
        seconds: wall-clock seconds that the job took.
        final: whether the job belongs to the final evaluation.
        film: a GIF of the first episode; None if it was not asked for or the task cannot be drawn.
    """

    task: str
    version: int
    step: int
    returns: tuple[float, ...]
    successes: tuple[bool | None, ...]
    seconds: float
    final: bool
    film: bytes | None = None

    def answers(self, job: EvaluationJob) -> bool:
        """Returns whether this is the result of `job`."""
        return (self.task, self.version, self.final) == (job.task, job.weights.version, job.final)


class EvaluationQueue:
    """Hands out evaluation jobs in rounds: a round scores one weights version on some or all tasks.

    A round begins when the jobs of the previous one were handed out, there is a newer version, and
    `evaluation.every_seconds` have passed.
    """

    def __init__(self, tasks: list[str], config: EvaluationConfig) -> None:
        self._tasks, self._config = tasks, config
        self._queued_at = dict.fromkeys(tasks, float("-inf"))
        self._filmed_at = dict.fromkeys(tasks, time.monotonic())
        self._waiting: list[EvaluationJob] = []
        self._held: dict[str, EvaluationJob] = {}
        self._round_version, self._round_began = -1, float("-inf")
        self._final = False
        self._results: Mailbox[EvaluationResult] = Mailbox()
        self._scored: dict[int, PublishedWeights] = {}

    def start_final_round(self, newest: PublishedWeights | None) -> int:
        """Drops all jobs and queues every task for the newest weights.

        Returns:
            The weights version of the final round; −1 if no weights were ever published.
        """
        self._held, self._final = {}, True
        return self._queue_round(self._tasks, newest) if newest else -1

    def next_job(self, evaluator: str, newest: PublishedWeights | None) -> EvaluationJob | None:
        """Returns the next job for an evaluator, or None if it should ask again later.

        An evaluator keeps its job until it posts the result: if it is restarted under the same name, it gets the
        same job again.
        """
        if evaluator in self._held:
            return self._held[evaluator]
        if not self._waiting and newest is not None and self._round_is_due(newest):
            self._queue_round(self._next_tasks(), newest)
        if not self._waiting:
            return None
        self._held[evaluator] = self._waiting.pop(0)
        return self._held[evaluator]

    def give_up_job(self, evaluator: str) -> str | None:
        """Takes a job back from an evaluator that failed, and queues it after the other jobs.

        Returns:
            The job's task; None if the evaluator had no job.
        """
        job = self._held.pop(evaluator, None)
        if job is None:
            return None
        if job.task in self._tasks:
            self._waiting.append(job)
        return job.task

    def exclude_task(self, task: str) -> None:
        """Stops scoring a task."""
        self._tasks = [each for each in self._tasks if each != task]
        self._waiting = [job for job in self._waiting if job.task != task]

    def post_result(self, evaluator: str, result: EvaluationResult) -> None:
        """Stores a result, and frees the evaluator if it is the result of its current job."""
        job = self._held.get(evaluator)
        if job is not None and result.answers(job):
            del self._held[evaluator]
        self._results.put(result)

    def take_results(self) -> list[EvaluationResult]:
        """Returns the results since the last call. Their weights stay available until the next call."""
        taken = self._results.take()
        jobs = [*self._waiting, *self._held.values()]
        needed = {job.weights.version for job in jobs} | {result.version for result in taken}
        self._scored = {version: weights for version, weights in self._scored.items() if version in needed}
        return taken

    def scored_weights(self, version: int) -> PublishedWeights | None:
        """Returns weights that are being scored or whose results were just taken."""
        return self._scored.get(version)

    def _round_is_due(self, newest: PublishedWeights) -> bool:
        waited = time.monotonic() - self._round_began
        return not self._final and newest.version > self._round_version and waited >= self._config.every_seconds

    def _next_tasks(self) -> list[str]:
        """Returns the tasks with the oldest scores: the configured share, and all that would become too old."""
        config, now = self._config, time.monotonic()
        count = math.ceil(config.share * len(self._tasks) - 1e-9)  # floating point: 0.1 · 30 must give 3
        bound = math.inf if config.stale_seconds is None else config.stale_seconds - config.every_seconds
        age = {task: now - queued for task, queued in self._queued_at.items()}
        oldest = sorted(self._tasks, key=lambda task: -age[task])
        return oldest[:count] + [task for task in oldest[count:] if age[task] > bound]

    def _queue_round(self, tasks: list[str], weights: PublishedWeights) -> int:
        now = time.monotonic()
        self._round_version, self._round_began = weights.version, now
        self._scored[weights.version] = weights
        self._queued_at |= dict.fromkeys(tasks, now)
        self._waiting = [
            EvaluationJob(task=task, weights=weights, final=self._final, film=self._films(task, now)) for task in tasks
        ]
        return weights.version

    def _films(self, task: str, now: float) -> bool:
        """Returns whether to film a task: every `video_seconds`, and always in the final round."""
        every = self._config.video_seconds
        due = bool(every) and (self._final or now - self._filmed_at[task] >= every)
        if due:
            self._filmed_at[task] = now
        return due
