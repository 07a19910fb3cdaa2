"""Results of an evaluation, episode by episode, and their aggregates over tasks and suites."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.scores.bootstrap import (
    Estimate,
    Floats,
    interquartile_mean,
    mean_of_tasks,
    performance_profile,
    standard_error,
    stratified_estimate,
    success_share,
)
from gato_dist.scores.published import published_scores
from gato_dist.scores.references import Reference
from gato_dist.scores.table import ScoreRow
from gato_dist.utils.files import append_line
from gato_dist.utils.typed_json import read_as, to_json

THRESHOLDS = np.linspace(0.0, 1.2, 61)  # of performance profiles
ALL_TASKS = "all tasks"  # name of the aggregate over all suites


@dataclass(frozen=True, kw_only=True)
class TaskResult:
    """The result of one weights version on one task: its row of scores.csv and its episodes.

    Attributes:
        row: the row of scores.csv.
        returns: return of each episode, in the order of seeds.
        successes: success of each episode; None if the task does not report success.
        tokens: training tokens until the weights version.
        seconds: training seconds until the weights version.
    """

    row: ScoreRow
    returns: tuple[float, ...]
    successes: tuple[bool, ...] | None
    tokens: int
    seconds: float

    @classmethod
    def of(
        cls,
        task: str,
        returns: Sequence[float],
        successes: Sequence[bool | None],
        reference: Reference,
        *,
        step: int,
        weights_version: int,
        tokens: int,
        seconds: float,
    ) -> "TaskResult":
        """Returns the result of an evaluation.

        Args:
            task: suite/name.
            returns: return of each episode.
            successes: success of each episode; None for an episode that does not report it. Such an episode counts as
                a failure if another episode reports success.
            reference: the task's reference scores.
            step: learner step of the weights.
            weights_version: version of the weights.
            tokens: training tokens until then.
            seconds: training seconds until then.
        """
        reported = any(success is not None for success in successes)
        return cls(
            row=ScoreRow.of(task, list(returns), reference, step=step, weights_version=weights_version),
            returns=tuple(returns),
            successes=tuple(map(bool, successes)) if reported else None,
            tokens=tokens,
            seconds=seconds,
        )

    @property
    def fractions(self) -> Floats:
        """Returns (return − random) / (expert − random) of each episode, float64 [n].

        The expert's mean score must be greater than random's.
        """
        returns = np.array(self.returns, np.float64)
        return (returns - self.row.random) / (self.row.expert - self.row.random)

    @property
    def success(self) -> float | None:
        """Returns the share of episodes with success; None if the task does not report it."""
        return success_share(self.successes or ())

    @property
    def standard_error(self) -> float | None:
        """Returns the standard error of the mean return; None for a single episode."""
        return standard_error(self.returns)

    @property
    def human_normalised(self) -> float | None:
        """Returns (score − random) / (human − random) with published scores; None if there are none for the task."""
        found = self._published_human
        return None if found is None else (self.row.mean - found[1]) / (found[2] - found[1])

    @property
    def human_source(self) -> str | None:
        """Returns who published the random and human scores; None if there are none for the task."""
        found = self._published_human
        return None if found is None else found[0]

    @property
    def _published_human(self) -> tuple[str, float, float] | None:
        """Source, random score and human score of the first source that has both, the human above random."""
        for published in published_scores(self.row.task):
            random, human = published.random, published.human
            if human is not None and random is not None and human > random:
                return published.source, random, human
        return None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain data for JSON, with the derived values too; `from_dict` reads it back."""
        return asdict(self.row) | {
            "standard_error": self.standard_error,
            "success": self.success,
            "human_normalised": self.human_normalised,
            "human_source": self.human_source,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "returns": self.returns,
            "successes": self.successes,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "TaskResult":
        """Returns the result that `to_dict` wrote.

        Raises:
            ValueError: if a value is missing or of the wrong type.
        """
        return read_as(cls, {**data, "row": data})


class EpisodeLog:
    """episodes.jsonl of a run: for each row of scores.csv a line with all of its episodes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, result: TaskResult) -> None:
        """Appends a result to the file."""
        append_line(self.path, to_json(result.to_dict()) + "\n")

    def read(self) -> list[TaskResult]:
        """Returns all results, or none if the file does not exist.

        Raises:
            InputError: if a line is damaged.
        """
        if not self.path.is_file():
            return []
        try:
            return [TaskResult.from_dict(json.loads(line)) for line in self.path.read_text("utf-8").splitlines()]
        except READ_ERRORS as error:
            raise InputError(f"{self.path}: a line is no result: {brief(error)}") from error


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """The aggregate of a suite, or of all tasks. Tasks without a valid expert count for success and human scores alone.

    Attributes:
        name: the suite, or `ALL_TASKS`.
        tasks: number of tasks with a valid expert.
        without_expert: names of the other tasks.
        mean: mean over tasks of expert-score fractions; None without a valid expert.
        iqm: interquartile mean over all episodes of expert-score fractions; None without a valid expert.
        above_50: number of tasks with a mean fraction above 0.5.
        above_80: number of tasks with a mean fraction above 0.8.
        success: mean share of episodes with success, over the tasks that report it; None if none does.
        success_tasks: number of those tasks.
        human_mean: mean human-normalised score, over the tasks with published human scores; None if there are none.
        human_median: median of the same.
        human_tasks: number of those tasks.
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


def aggregate(name: str, results: Sequence[TaskResult]) -> Aggregate:
    """Returns the aggregate of results, one for each task, under a name."""
    samples = [result.fractions for result in with_expert(results)]
    means = np.array([sample.mean() for sample in samples])
    successes = [result.success for result in results if result.success is not None]
    humans = [value for result in results if (value := result.human_normalised) is not None]
    return Aggregate(
        name=name,
        tasks=len(samples),
        without_expert=tuple(result.row.task for result in results if result.row.fraction is None),
        mean=stratified_estimate(samples, mean_of_tasks) if samples else None,
        iqm=stratified_estimate(samples, interquartile_mean) if samples else None,
        above_50=int((means > 0.5).sum()),
        above_80=int((means > 0.8).sum()),
        success=float(np.mean(successes)) if successes else None,
        success_tasks=len(successes),
        human_mean=float(np.mean(humans)) if humans else None,
        human_median=float(np.median(humans)) if humans else None,
        human_tasks=len(humans),
    )


def aggregates(results: Sequence[TaskResult]) -> list[Aggregate]:
    """Returns the aggregate of each suite, in the order of first mention, then that of all tasks if there are several.

    Args:
        results: results of one policy, one for each task.
    """
    suites = list(dict.fromkeys(result.row.suite for result in results))
    found = [aggregate(suite, [result for result in results if result.row.suite == suite]) for suite in suites]
    return [*found, aggregate(ALL_TASKS, results)] if len(suites) > 1 else found


def profile(results: Sequence[TaskResult]) -> tuple[Floats, Floats, Floats]:
    """Returns the performance profile of the tasks with a valid expert, as `performance_profile` at `THRESHOLDS`.

    Raises:
        ValueError: if no task has a valid expert.
    """
    return performance_profile([result.fractions for result in with_expert(results)], THRESHOLDS)


def with_expert(results: Sequence[TaskResult]) -> list[TaskResult]:
    """Returns the results whose expert-score fraction is defined."""
    return [result for result in results if result.row.fraction is not None]


def human_sources(results: Sequence[TaskResult]) -> str:
    """Returns who published the human scores of these tasks, separated by commas."""
    return ", ".join(dict.fromkeys(result.human_source for result in results if result.human_source))


def newest_results(results: Sequence[TaskResult]) -> list[TaskResult]:
    """Returns the last result of each task, in the order of first mention."""
    return list({result.row.task: result for result in results}.values())
