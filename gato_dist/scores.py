"""The expert-score fraction, its interval, and the table of scores that a run keeps."""

import contextlib
import csv
import io
import json
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np

from gato_dist.episode import Episode
from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.files import append_line, replace_text
from gato_dist.locks import hold_file
from gato_dist.plain import read_as, to_json
from gato_dist.statistics import bootstrap_interval, success_share
from gato_dist.task_names import file_name
from gato_dist.tasks import OWN_FOLDER, played_entry
from gato_dist.tokens.tokenizer import Moments


def expert_score_fraction(score: float, random: float, expert: float) -> float | None:
    """(score − random) / (expert − random); None where the expert is not better than random."""
    return (score - random) / (expert - random) if expert > random else None


@dataclass(frozen=True)
class Score:
    """What one policy scored on a task: mean and standard deviation of episode returns, and how it was measured."""

    mean: float
    std: float
    episodes: int
    seed: int
    policy: str
    policy_hash: str
    success: float | None
    date: str

    @classmethod
    def of(cls, episodes: list[Episode], seed: int, date: str) -> "Score":
        returns = [episode.episode_return for episode in episodes]
        source = episodes[0].provenance
        return cls(
            float(np.mean(returns)), float(np.std(returns)), len(episodes), seed, source.policy, source.policy_hash,
            success_share([episode.success for episode in episodes]), date,
        )  # fmt: skip


@dataclass(frozen=True)
class Reference:
    """What a task's scores are measured against, and the moments of its observations, as measured by this system."""

    random: Score
    expert: Score
    moments: dict[str, Moments]

    @property
    def random_alone(self) -> bool:
        """Whether random stands in the expert's place: the task has none, and its fraction is undefined."""
        return self.expert.policy_hash == self.random.policy_hash


def _reference_path(task: str) -> Path:
    """Shipped tasks keep theirs with the package, a user's own where the command runs."""
    shipped = Path(str(files("gato_dist") / "assets" / "references"))
    folder = OWN_FOLDER / "references" if played_entry(task).own else shipped
    return folder / f"{file_name(task)}.json"


def load_reference(task: str) -> Reference:
    """A task's reference. Raises InputError where none was measured."""
    path = _reference_path(task)
    if not path.is_file():
        kind = "" if played_entry(task).expert else " --expert random, or with an expert of your own"
        raise InputError(f"{task}: no reference scores; measure them with: gato-dist experts score '{task}'{kind}")
    try:
        return read_as(Reference, json.loads(path.read_text("utf-8")))
    except DAMAGED as error:
        raise InputError(f"{path}: not a task's reference scores: {brief(error)}") from error


def known_references(tasks: list[str]) -> dict[str, Reference]:
    """Those of the tasks that have any here."""
    found = {}
    for task in tasks:
        with contextlib.suppress(InputError):
            found[task] = load_reference(task)
    return found


def hold_reference(task: str) -> AbstractContextManager[None]:
    """Makes this process the only one that measures a task's reference. Raises InputError where another one does."""
    path = _reference_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    return hold_file(path)


def save_reference(task: str, reference: Reference) -> Path:
    """Writes a task's reference where `load_reference` finds it; returns the path."""
    path = _reference_path(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(to_json(asdict(reference), indent=1) + "\n", "utf-8")
    partial.rename(path)
    return path


@dataclass(frozen=True)
class External:
    """A score that someone else published for a task; None where the source has no such figure."""

    source: str
    random: float | None
    expert: float | None
    human: float | None


@cache
def _external_table() -> dict[str, list[External]]:
    text = (files("gato_dist") / "assets" / "external.csv").read_text("utf-8")
    table: dict[str, list[External]] = {}
    for row in csv.DictReader(line for line in text.splitlines() if not line.startswith("#")):
        figures = (_number(row[name]) for name in ("random", "expert", "human"))
        table.setdefault(row["task"], []).append(External(row["source"], *figures))
    return table


def load_external(task: str) -> list[External]:
    """What others published for a task: shown beside our own scores, and never mixed with them."""
    return _external_table().get(task, [])


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


def _number(text: str) -> float | None:
    return float(text) if text else None


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
