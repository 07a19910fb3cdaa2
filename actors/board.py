"""What the processes of a run tell one another: newest weights, evaluation jobs and results, figures, the stop sign.

Plain Python, without Ray: `ray_actors.py` makes one actor of it, and every call to it is short.
"""

import time
from dataclasses import dataclass
from typing import Any

from gato_dist.sources import Guidance


@dataclass(frozen=True)
class WeightsNote:
    """A version of the weights that can be fetched. reference: what the transport stored; opaque here."""

    version: int
    step: int
    reference: Any


@dataclass(frozen=True)
class EvaluationJob:
    """Score one version on one task. final: the run's last version, scored with more episodes."""

    task: str
    weights: WeightsNote
    final: bool


@dataclass(frozen=True)
class EvaluationResult:
    """Returns of one job's episodes, in the order of their seeds, and their success: None where the task tells none."""

    task: str
    version: int
    step: int
    returns: tuple[float, ...]
    successes: tuple[bool | None, ...]
    seconds: float
    final: bool


class Board:
    """tasks: what evaluators score. every_seconds: least time between two versions that are scored.

    first_block: of the seed blocks that it hands to expert actors.
    Versions only grow: an older one than the newest is refused with ValueError.
    """

    def __init__(self, tasks: list[str], every_seconds: float, first_block: int = 0) -> None:
        self._next_block = first_block
        self._tasks, self._every_seconds = tasks, every_seconds
        self._weights: WeightsNote | None = None
        self._jobs: list[EvaluationJob] = []
        self._held: dict[str, EvaluationJob] = {}
        self._last_round = (-1, float("-inf"))  # version, time
        self._final = False
        self._results: list[EvaluationResult] = []
        self._figures: dict[str, dict[str, float]] = {}
        self._stopping = False
        self._learner_done = False
        self._factors: tuple[float, ...] | None = None

    def publish(self, version: int, step: int, reference: Any) -> None:
        """A new version of the weights; the reference to the one before is dropped."""
        if self._weights is not None and version <= self._weights.version:
            raise ValueError(f"weights version {version} does not follow {self._weights.version}")
        self._weights = WeightsNote(version, step, reference)

    def newest(self) -> WeightsNote | None:
        return self._weights

    def guide(self, factors: tuple[float, ...]) -> None:
        """By which the weight of each of the mixture's tasks is multiplied from now on."""
        self._factors = factors

    def guidance(self) -> Guidance:
        """Progress as the learner last told it."""
        progress = self._figures.get("learner", {}).get("progress", 0.0)
        return Guidance(progress, self._weights.version if self._weights else 0, self._factors)

    def evaluate_finally(self) -> int:
        """Drops every job before it and queues every task for the newest weights; their version, or −1."""
        self._held, self._final = {}, True
        return self._queue_round() if self._weights else -1

    def next_job(self, evaluator: str) -> EvaluationJob | None:
        """The next task for this evaluator to score, or None: ask again later.

        A round begins when the one before was handed out. A job stays the evaluator's until its result is posted: one
        that died and was started again under its name takes it up anew.
        """
        if evaluator in self._held:
            return self._held[evaluator]
        if not self._jobs and self._weights and not self._final:
            version, began = self._last_round
            if self._weights.version > version and time.monotonic() - began >= self._every_seconds:
                self._queue_round()
        if not self._jobs:
            return None
        self._held[evaluator] = self._jobs.pop(0)
        return self._held[evaluator]

    def claim_block(self) -> int:
        """A seed block that nobody else has: also an actor that was restarted gets a new one."""
        self._next_block += 1
        return self._next_block - 1

    def post_result(self, evaluator: str, result: EvaluationResult) -> None:
        held = self._held.get(evaluator)
        if held is not None and (held.task, held.weights.version, held.final) == (
            result.task, result.version, result.final
        ):  # fmt: skip
            del self._held[evaluator]
        self._results.append(result)

    def take_results(self) -> list[EvaluationResult]:
        """Results since the last call."""
        taken, self._results = self._results, []
        return taken

    def report(self, source: str, figures: dict[str, float]) -> None:
        """The newest figures of one process; its earlier ones are replaced."""
        self._figures[source] = figures

    def figures(self) -> dict[str, dict[str, float]]:
        """The newest figures by process."""
        return dict(self._figures)

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

    def _queue_round(self) -> int:
        assert self._weights is not None
        self._last_round = (self._weights.version, time.monotonic())
        self._jobs = [EvaluationJob(task, self._weights, self._final) for task in self._tasks]
        return self._weights.version
