"""What an evaluation found, episode by episode, and what it amounts to over tasks and suites."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.scores.bootstrap import (
    Estimate,
    interquartile_mean,
    mean_of_tasks,
    performance_profile,
    standard_error,
    stratified_estimate,
    success_share,
)
from gato_dist.scores.references import External, Reference, load_external
from gato_dist.scores.table import ScoreRow
from gato_dist.utils.files import append_line
from gato_dist.utils.typed_json import read_as, to_json

THRESHOLDS = np.linspace(0.0, 1.2, 61)
ALL_TASKS = "all tasks"


@dataclass(frozen=True)
class TaskResult:
    """One weights version on one task: its line of scores.csv, and each episode's return, in the order of seeds.

    successes: of the same episodes; None where the task reports none. tokens, seconds: of training until the version.
    """

    row: ScoreRow
    returns: tuple[float, ...]
    successes: tuple[bool, ...] | None
    tokens: int
    seconds: float

    @classmethod
    def of(
        cls,
        place: tuple[int, int, int, float],
        task: str,
        returns: Sequence[float],
        successes: Sequence[bool | None],
        reference: Reference,
    ) -> "TaskResult":
        """place: learner step, weights version, tokens and seconds of training."""
        step, version, tokens, seconds = place
        row = ScoreRow.of(step, version, task, list(returns), reference)
        # Where one episode tells of success, those that tell nothing had none.
        told = any(success is not None for success in successes)
        return cls(row, tuple(returns), tuple(map(bool, successes)) if told else None, tokens, seconds)

    @property
    def fractions(self) -> np.ndarray:
        """Expert-score fraction of each episode, float64 [n]; only where the task has a valid expert."""
        return (np.array(self.returns) - self.row.random) / (self.row.expert - self.row.random)

    @property
    def success(self) -> float | None:
        """Share of episodes with success."""
        return success_share(self.successes or ())

    @property
    def standard_error(self) -> float | None:
        """Of the mean return."""
        return standard_error(self.returns)

    @property
    def human_normalised(self) -> float | None:
        """(score − random) / (human − random), both published; None where nobody published them for the task."""
        other = self._human
        if other is None or other.human is None or other.random is None:
            return None
        return (self.row.mean - other.random) / (other.human - other.random)

    @property
    def human_source(self) -> str | None:
        """Who published the random and human scores."""
        return self._human.source if self._human else None

    @property
    def _human(self) -> External | None:
        for other in load_external(self.row.task):
            if other.human is not None and other.random is not None and other.human > other.random:
                return other
        return None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: `from_dict` reads it back, and leaves out what follows from the rest."""
        derived = {
            name: getattr(self, name) for name in ("standard_error", "success", "human_normalised", "human_source")
        }
        return asdict(self.row) | derived | {
            "tokens": self.tokens, "seconds": self.seconds, "returns": self.returns, "successes": self.successes,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TaskResult":
        return read_as(cls, {**data, "row": data})


class EpisodeLog:
    """episodes.jsonl of a run: a line for each line of scores.csv, with what aggregates need of its episodes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, result: TaskResult) -> None:
        append_line(self.path, to_json(result.to_dict()) + "\n")

    def read(self) -> list[TaskResult]:
        """All results; none where there is no file. Raises InputError where a line is none."""
        if not self.path.is_file():
            return []
        try:
            return [TaskResult.from_dict(json.loads(line)) for line in self.path.read_text("utf-8").splitlines()]
        except DAMAGED as error:
            raise InputError(f"{self.path}: a line is no result: {brief(error)}") from error


@dataclass(frozen=True)
class Aggregate:
    """A suite, or all tasks. Tasks without a valid expert are named and left out of all but `success` and `human`.

    mean, iqm: of expert-score fractions, over tasks and over their episodes (`interquartile_mean`); above_50, above_80:
    tasks whose mean fraction lies above. success: mean over `success_tasks` tasks that report it. human_mean,
    human_median: over the `human_tasks` tasks with a published human score.
    """

    name: str
    tasks: int
    without_expert: tuple[str, ...]
    mean: Estimate | None
    iqm: Estimate | None
    above_50: int
    above_80: int
    success: float | None
    success_tasks: int
    human_mean: float | None
    human_median: float | None
    human_tasks: int


def aggregates(results: Sequence[TaskResult]) -> list[Aggregate]:
    """Each suite's, in the order of first mention, and that of all tasks in the end, if there are several suites.

    results: one a task, of the same policy.
    """
    suites = list(dict.fromkeys(result.row.suite for result in results))
    each = [aggregate(suite, [result for result in results if result.row.suite == suite]) for suite in suites]
    return [*each, aggregate(ALL_TASKS, results)] if len(suites) > 1 else each


def profile(results: Sequence[TaskResult]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Share of the tasks with a valid expert above each of THRESHOLDS, and its interval; ValueError without tasks."""
    return performance_profile([result.fractions for result in with_expert(results)], THRESHOLDS)


def with_expert(results: Sequence[TaskResult]) -> list[TaskResult]:
    """Those whose fraction is defined."""
    return [result for result in results if result.row.fraction is not None]


def human_sources(results: Sequence[TaskResult]) -> str:
    """Who published what these are human-normalised by; empty where none is."""
    return ", ".join(dict.fromkeys(result.human_source for result in results if result.human_source))


def newest_results(results: Sequence[TaskResult]) -> list[TaskResult]:
    """The last of each task, in the order of first mention."""
    return list({result.row.task: result for result in results}.values())


def aggregate(name: str, results: Sequence[TaskResult]) -> Aggregate:
    """Of these results, one a task."""
    valid = with_expert(results)
    samples = [result.fractions for result in valid]
    means = np.array([sample.mean() for sample in samples])
    successes = [result.success for result in results if result.success is not None]
    humans = [value for result in results if (value := result.human_normalised) is not None]
    return Aggregate(
        name,
        len(valid),
        tuple(result.row.task for result in results if result.row.fraction is None),
        stratified_estimate(samples, mean_of_tasks) if samples else None,
        stratified_estimate(samples, interquartile_mean) if samples else None,
        int((means > 0.5).sum()),
        int((means > 0.8).sum()),
        float(np.mean(successes)) if successes else None,
        len(successes),
        float(np.mean(humans)) if humans else None,
        float(np.median(humans)) if humans else None,
        len(humans),
    )
