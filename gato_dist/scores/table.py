"""The expert-score fraction, and scores.csv: one row for each weights version and task."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.scores.bootstrap import bootstrap_interval
from gato_dist.scores.references import Reference
from gato_dist.utils.files import append_line, write_text_atomically
from gato_dist.utils.typed_json import read_as


def expert_score_fraction(score: float, random: float, expert: float) -> float | None:
    """Returns (score − random) / (expert − random), or None if the expert is not better than random."""
    return (score - random) / (expert - random) if expert > random else None


@dataclass(frozen=True, kw_only=True)
class ScoreRow:
    """One row of scores.csv: the score of one weights version on one task.

    Attributes:
        step: learner step of the weights.
        weights_version: version of the weights.
        task: suite/name.
        suite: the suite of the task.
        episodes: number of episodes.
        random: mean return of the random policy.
        expert: mean return of the expert.
        mean: mean return of these episodes.
        std: standard deviation of their returns.
        fraction: expert-score fraction of `mean`; None if it is undefined.
        ci_low: lower end of the 95 % confidence interval of `fraction`; None if it is undefined.
        ci_high: upper end of that interval.
    """

    step: int
    weights_version: int
    task: str
    suite: str
    episodes: int
    random: float
    expert: float
    mean: float
    std: float
    fraction: float | None
    ci_low: float | None
    ci_high: float | None

    @classmethod
    def of(
        cls, task: str, returns: list[float], reference: Reference, *, step: int, weights_version: int
    ) -> "ScoreRow":
        """Returns the row of an evaluation.

        Args:
            task: suite/name.
            returns: return of each episode.
            reference: the task's reference scores.
            step: learner step of the weights.
            weights_version: version of the weights.
        """
        mean, random, expert = float(np.mean(returns)), reference.random.mean, reference.expert.mean
        low, high = bootstrap_interval(returns)
        return cls(
            step=step,
            weights_version=weights_version,
            task=task,
            suite=task.split("/", 1)[0],
            episodes=len(returns),
            random=random,
            expert=expert,
            mean=mean,
            std=float(np.std(returns)),
            fraction=expert_score_fraction(mean, random, expert),
            ci_low=expert_score_fraction(low, random, expert),
            ci_high=expert_score_fraction(high, random, expert),
        )


class ScoreTable:
    """scores.csv of a run. Rows are appended one at a time; the file is never rewritten.

    Attributes:
        path: the file.
        rows: all rows, those of the existing file first.
    """

    COLUMNS = tuple(field.name for field in fields(ScoreRow))

    def __init__(self, path: Path) -> None:
        """Reads the file, or creates it with its header line.

        Raises:
            InputError: if the file is not a scores.csv.
        """
        self.path = path
        self.rows = self.read(path) if path.exists() else []
        if not path.exists():
            write_text_atomically(path, ",".join(self.COLUMNS) + "\n")

    def append(self, row: ScoreRow) -> None:
        """Appends a row to the table and to its file."""
        self.rows.append(row)
        line = io.StringIO()
        csv.writer(line).writerow(map(_cell, asdict(row).values()))
        append_line(self.path, line.getvalue())

    @classmethod
    def read(cls, path: Path) -> list[ScoreRow]:
        """Returns all rows of a file.

        Raises:
            InputError: if the file is not a scores.csv, or a row is damaged.
        """
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != cls.COLUMNS:
                    raise InputError(f"{path}: not a scores.csv; its first line must be {','.join(cls.COLUMNS)}")
                return [_parse_row(row) for row in reader]
        except (*READ_ERRORS, csv.Error) as error:
            raise InputError(f"{path}: a line is no row of scores: {brief(error)}") from error

    def latest(self) -> dict[str, ScoreRow]:
        """Returns the newest row of each task, by task."""
        return {row.task: row for row in self.rows}


def _cell(value: object) -> object:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else value


def _parse_row(row: dict[str, str]) -> ScoreRow:
    return read_as(ScoreRow, {name: value or None for name, value in row.items()})


@dataclass(frozen=True, kw_only=True)
class MeanPoint:
    """The mean expert-score fraction over tasks at one weights version: one point of a learning curve.

    Attributes:
        version: newest weights version among the scores.
        step: learner step of that version.
        oldest_version: oldest version among the scores. It equals `version` if one version was scored on all tasks, and
            is lower if each version is scored on some of the tasks.
        mean: mean fraction over the tasks.
        rows: the scores, one for each task.
    """

    version: int
    step: int
    oldest_version: int
    mean: float
    rows: tuple[ScoreRow, ...]

    @property
    def equal_episodes(self) -> bool:
        """Returns whether every task has the same number of episodes; false while a final evaluation is under way."""
        return len({row.episodes for row in self.rows}) == 1


def mean_curve(rows: list[ScoreRow], tasks: list[str] | None = None) -> list[MeanPoint]:
    """Returns a point each time all tasks were scored since the previous point, by one or several weights versions.

    No score counts for two points. If a version was scored several times on a task, the last score counts.

    Args:
        rows: scores, oldest first.
        tasks: the tasks that count; None: all tasks with a valid expert.
    """
    valid = [row for row in rows if row.fraction is not None]
    counted = set(tasks) if tasks is not None else {row.task for row in valid}
    versions: dict[int, dict[str, ScoreRow]] = {}
    for row in valid:
        if row.task in counted:
            versions.setdefault(row.weights_version, {})[row.task] = row
    points, collected = [], dict[str, ScoreRow]()
    for version, scored in sorted(versions.items()):
        collected |= scored
        if len(collected) == len(counted):
            points.append(_mean_point(version, list(collected.values())))
            collected = {}
    return points


def _mean_point(version: int, rows: list[ScoreRow]) -> MeanPoint:
    return MeanPoint(
        version=version,
        step=max(row.step for row in rows),
        oldest_version=min(row.weights_version for row in rows),
        mean=float(np.mean([row.fraction for row in rows if row.fraction is not None])),
        rows=tuple(rows),
    )


def fraction_text(row: ScoreRow | None) -> str:
    """Returns a row's expert-score fraction for display."""
    if row is None:
        return "–"
    return "no expert" if row.fraction is None else f"{row.fraction:.2f}"


def interval_text(row: ScoreRow | None) -> str:
    """Returns the confidence interval of a row's expert-score fraction for display."""
    if row is None or row.ci_low is None or row.ci_high is None:
        return "–"
    return f"{row.ci_low:.2f} … {row.ci_high:.2f}"
