"""`gato-dist compare`: runs or evaluated checkpoints side by side, over common tasks and task by task."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.plots.curves import draw_mean_curves
from gato_dist.plots.figure import Points, to_svg
from gato_dist.plots.fraction_bars import RunScores, draw_comparison
from gato_dist.plots.profile import draw_profiles
from gato_dist.plots.score_rows import measured_interval, newest_rows
from gato_dist.plots.text import interval_text, number_text
from gato_dist.records.cost import Cost
from gato_dist.records.run_folder import RunFolder
from gato_dist.report.pages import Table, chart_markup, render_page
from gato_dist.report.run_records import newest_results, read_rows
from gato_dist.report.run_tables import duration_text, estimate_text
from gato_dist.scores.results import Aggregate, EpisodeLog, TaskResult, aggregate
from gato_dist.scores.table import MeanPoint, ScoreRow, mean_curve
from gato_dist.utils.console import NamedTable, make_console
from gato_dist.utils.files import lowercase_suffix, write_text_atomically

COMMON = "common tasks"


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """The records of a run that a comparison shows.

    Attributes:
        name: the name that it is shown under.
        rows: its score rows, in the order of the file.
        results: the results of each task's newest row, as far as they were kept.
        versions: one result of each weights version; it knows the tokens and seconds of training up to there.
        cost: what the run cost, if known.
    """

    name: str
    rows: list[ScoreRow]
    results: list[TaskResult]
    versions: dict[int, TaskResult]
    cost: Cost | None

    @classmethod
    def load(cls, path: Path) -> "ComparedRun":
        """Reads a run.

        Args:
            path: a run's folder, or a file that `gato-dist evaluate --json` wrote.

        Raises:
            InputError: if the folder holds no scores, or a file cannot be read.
        """
        if lowercase_suffix(path) == ".json" and path.is_file():
            return cls._load_evaluation(path)
        rows = read_rows(path)
        results = EpisodeLog(RunFolder(path).episodes).read()
        return cls(
            name=path.resolve().name,
            rows=rows,
            results=newest_results(rows, results),
            versions={result.row.weights_version: result for result in results},
            cost=Cost.load(RunFolder(path).cost),
        )

    @classmethod
    def _load_evaluation(cls, path: Path) -> "ComparedRun":
        try:
            results = [TaskResult.from_dict(task) for task in json.loads(path.read_text("utf-8"))["tasks"]]
            first = results[0]
        except READ_ERRORS as error:
            raise InputError(f"{path}: not what `gato-dist evaluate --json` writes: {brief(error)}") from error
        return cls(
            name=path.resolve().stem,
            rows=[result.row for result in results],
            results=results,
            versions={first.row.weights_version: first},
            cost=Cost(tokens=first.tokens, training_seconds=first.seconds),
        )

    @property
    def scores(self) -> RunScores:
        """The newest row and the success rate of each task."""
        newest = {row.task: row for row in newest_rows(self.rows)}
        return RunScores(
            name=self.name, newest=newest, successes={result.row.task: result.success for result in self.results}
        )

    def curve(self, tasks: list[str], x: Callable[["ComparedRun", MeanPoint], float | None]) -> Points:
        """Returns the (x, mean fraction) points of the run.

        Args:
            tasks: the tasks of the mean.
            x: returns a point's position; None if it is not known.
        """
        points = [(x(self, point), point.mean) for point in mean_curve(self.rows, tasks)]
        return [(position, mean) for position, mean in points if position is not None]


def tokens_learned(run: ComparedRun, point: MeanPoint) -> float | None:
    """Returns the tokens that a run had learned at a point of its curve; None if its episodes were not kept."""
    return run.versions[point.version].tokens if point.version in run.versions else None


def learner_step(run: ComparedRun, point: MeanPoint) -> float | None:
    """Returns the learner step of a point of a run's curve."""
    return point.step


def training_minutes(run: ComparedRun, point: MeanPoint) -> float | None:
    """Returns the minutes of training up to a point of a run's curve; None if its episodes were not kept."""
    return run.versions[point.version].seconds / 60 if point.version in run.versions else None


CURVE_AXES = {"tokens learned": tokens_learned, "learner step": learner_step, "minutes of training": training_minutes}


def compare_runs(paths: list[Path], out: Path | None) -> None:
    """Prints the newest scores of runs side by side.

    Args:
        paths: run folders, or files that `gato-dist evaluate --json` wrote.
        out: a new file to write: a page with curves (.html) or a picture (.svg).

    Raises:
        InputError: if a folder holds no scores, or `out` exists already or has another suffix.
    """
    if out and (out.exists() or lowercase_suffix(out) not in (".html", ".svg") or not out.parent.is_dir()):
        raise InputError(f"{out}: give a new file that ends in .html or .svg, in an existing folder")
    names = _distinct_names([path.resolve() for path in paths])
    runs = [replace(ComparedRun.load(path), name=name) for path, name in zip(paths, names, strict=True)]
    common = common_tasks(runs)
    table = comparison_table(runs, common)
    make_console().print(NamedTable(table.head, table.rows, "expert-score fraction of the newest weights"))
    if out:
        picture = draw_comparison([run.scores for run in runs])
        write_text_atomically(out, _page(runs, common, table) if lowercase_suffix(out) == ".html" else to_svg(picture))
        print(out)


def common_tasks(runs: Sequence[ComparedRun]) -> list[str]:
    """Returns the tasks with a defined fraction in every run, in the first run's order."""
    newest = [run.scores.newest for run in runs]
    return [task for task in newest[0] if all(task in rows and rows[task].fraction is not None for rows in newest)]


def comparison_table(runs: Sequence[ComparedRun], common: list[str]) -> Table:
    """Returns a table with a column for each run: aggregates over the common tasks, then every task of any run.

    Args:
        runs: the runs.
        common: the tasks that all runs have a defined fraction for.
    """
    if common:
        rows = _aggregate_rows(runs, common)
    else:
        rows = [["no task with a valid expert is common to all"] + ["–"] * len(runs)]
    scores = [run.scores for run in runs]
    for task in dict.fromkeys(task for each in scores for task in each.newest):
        rows.append([task, *(_fraction_text(each.newest.get(task), each.successes.get(task)) for each in scores)])
    return Table(["", *(run.name for run in runs)], rows)


def _distinct_names(paths: Sequence[Path]) -> list[str]:
    """The last parts of each path, as few as distinguish all paths; a path given twice is shown whole."""
    for count in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len(set(names)) == len(names):
            return [re.sub(r"\.json$", "", name, flags=re.IGNORECASE) for name in names]
    return [str(path) for path in paths]


def _aggregate_rows(runs: Sequence[ComparedRun], common: list[str]) -> list[list[str]]:
    newest = [run.scores.newest for run in runs]
    fractions = [np.array([rows[task].fraction for task in common], float) for rows in newest]
    aggregates = [_aggregate(run, common) for run in runs]
    means = [
        estimate_text(each.mean) if each else number_text(float(values.mean()))
        for each, values in zip(aggregates, fractions, strict=True)
    ]
    success = [
        f"{each.success:.0%} ({each.success_tasks} tasks)" if each and each.success is not None else "–"
        for each in aggregates
    ]
    return [
        [f"mean of {len(common)} {COMMON}", *means],
        ["interquartile mean", *(estimate_text(each.iqm if each else None) for each in aggregates)],
        ["above 50 %", *(f"{int((values > 0.5).sum())} of {len(common)}" for values in fractions)],
        ["above 80 %", *(f"{int((values > 0.8).sum())} of {len(common)}" for values in fractions)],
        ["success", *success],
        ["learner steps", *(f"{max(row.step for row in run.rows):,}" for run in runs)],
        ["tokens learned", *(f"{run.cost.tokens:,}" if run.cost else "–" for run in runs)],
        ["training", *(duration_text(run.cost.training_seconds) if run.cost else "–" for run in runs)],
    ]


def _aggregate(run: ComparedRun, common: list[str]) -> Aggregate | None:
    """The aggregate over the common tasks; None unless the episodes of all of them were kept."""
    results = [result for result in run.results if result.row.task in common]
    return aggregate(COMMON, results) if len(results) == len(common) else None


def _fraction_text(row: ScoreRow | None, success: float | None) -> str:
    if row is None:
        return "–"
    measured = measured_interval(row)
    if measured is None:
        return "no expert"
    return interval_text(*measured) + ("" if success is None else f", {success:.0%} success")


def _page(runs: Sequence[ComparedRun], common: list[str], table: Table) -> str:
    profiles = [(run.name, [result for result in run.results if result.row.task in common]) for run in runs]
    figures = [
        draw_comparison([run.scores for run in runs]),
        *(draw_mean_curves([(run.name, run.curve(common, x)) for run in runs], axis) for axis, x in CURVE_AXES.items()),
        draw_profiles(profiles),
    ]
    return render_page(
        "comparison.html",
        title=", ".join(run.name for run in runs),
        kind="comparison",
        common=len(common),
        scores=table,
        charts=[chart_markup(figure) for figure in figures],
    )
