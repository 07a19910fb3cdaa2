"""The expert-score fraction, its interval, and the table of scores that a run keeps."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.scores.bootstrap import bootstrap_interval
from gato_dist.scores.references import Reference
from gato_dist.utils.files import append_line, replace_text
from gato_dist.utils.typed_json import read_as


def expert_score_fraction(score: float, random: float, expert: float) -> float | None:
    """(score − random) / (expert − random); None where the expert is not better than random."""
    return (score - random) / (expert - random) if expert > random else None


@dataclass(frozen=True)
class ScoreRow:
    """One line of scores.csv: one weights version on one task. `fraction` and its interval are None if undefined."""

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
    def of(cls, step: int, version: int, task: str, returns: list[float], reference: Reference) -> "ScoreRow":
        random, expert = reference.random.mean, reference.expert.mean
        low, high = bootstrap_interval(returns)
        fraction, ci_low, ci_high = (
            expert_score_fraction(v, random, expert) for v in (float(np.mean(returns)), low, high)
        )
        return cls(
            step, version, task, task.split("/", 1)[0], len(returns), random, expert,
            float(np.mean(returns)), float(np.std(returns)), fraction, ci_low, ci_high,
        )  # fmt: skip


class ScoreTable:
    """scores.csv: appended a row at a time, never rewritten."""

    COLUMNS = tuple(field.name for field in fields(ScoreRow))

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows = self.read(path) if path.exists() else []
        if not path.exists():
            replace_text(path, ",".join(self.COLUMNS) + "\n")

    def append(self, row: ScoreRow) -> None:
        self.rows.append(row)
        values = [
            "" if value is None else f"{value:.6g}" if isinstance(value, float) else value
            for value in asdict(row).values()
        ]
        line = io.StringIO()
        csv.writer(line).writerow(values)
        append_line(self.path, line.getvalue())

    @classmethod
    def read(cls, path: Path) -> list[ScoreRow]:
        """All rows. Raises InputError where the file is no scores.csv."""
        try:
            with path.open(encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) != cls.COLUMNS:
                    raise InputError(f"{path}: not a scores.csv; its first line must be {','.join(cls.COLUMNS)}")
                return [_parse(line) for line in reader]
        except (*DAMAGED, csv.Error) as error:
            raise InputError(f"{path}: a line is no row of scores: {brief(error)}") from error

    def latest(self) -> dict[str, ScoreRow]:
        """The newest row of each task."""
        return {row.task: row for row in self.rows}


def _parse(line: dict[str, str]) -> ScoreRow:
    return read_as(ScoreRow, {name: value or None for name, value in line.items()})


@dataclass(frozen=True)
class MeanPoint:
    """Mean fraction over tasks, each with its newest score up to weights `version` (of learner step `step`).

    oldest: lowest version among those scores: `version` where all are of one, lower where versions are scored on a
    share of the tasks each.
    """

    version: int
    step: int
    oldest: int
    mean: float
    rows: tuple[ScoreRow, ...]

    @property
    def even(self) -> bool:
        """Whether every task was scored with as many episodes: not so while a last round is under way."""
        return len({row.episodes for row in self.rows}) == 1


def mean_curve(rows: list[ScoreRow], tasks: list[str] | None = None) -> list[MeanPoint]:
    """A point whenever all tasks were scored since the point before: with one version, or with several in turn.

    No score counts in two points. tasks: those that count; by default all that have a valid expert. Of a task's rows
    of one version the last counts.
    """
    defined = [row for row in rows if row.fraction is not None]
    counted = set(tasks) if tasks is not None else {row.task for row in defined}
    versions: dict[int, dict[str, ScoreRow]] = {}
    for row in defined:
        if row.task in counted:
            versions.setdefault(row.weights_version, {})[row.task] = row
    points, gathered = [], dict[str, ScoreRow]()
    for version, scored in sorted(versions.items()):
        gathered |= scored
        if len(gathered) == len(counted):
            points.append(_point(version, list(gathered.values())))
            gathered = {}
    return points


def _point(version: int, rows: list[ScoreRow]) -> MeanPoint:
    mean = float(np.mean([row.fraction for row in rows if row.fraction is not None]))
    step = max(row.step for row in rows)
    return MeanPoint(version, step, min(row.weights_version for row in rows), mean, tuple(rows))


def fraction_text(row: ScoreRow | None) -> str:
    if row is None:
        return "–"
    return "no expert" if row.fraction is None else f"{row.fraction:.2f}"


def interval_text(row: ScoreRow | None) -> str:
    if row is None or row.ci_low is None or row.ci_high is None:
        return "–"
    return f"{row.ci_low:.2f} … {row.ci_high:.2f}"
