"""`gato-dist compare`: runs or evaluated checkpoints side by side, over common tasks and task by task."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.plots.charts import interval_of, newest_rows
from gato_dist.plots.compare_chart import side_by_side_svg
from gato_dist.plots.drawing import Points, escape, number_text
from gato_dist.plots.profiles import curves_svg, profile_svg
from gato_dist.records.cost import Cost
from gato_dist.records.run_folder import RunFolder
from gato_dist.report.run_page import duration_text, estimate_text, page_html, read_rows, results_of, table_html
from gato_dist.scores.results import Aggregate, EpisodeLog, TaskResult, aggregate
from gato_dist.scores.table import ScoreRow, mean_curve
from gato_dist.utils.console import NamedTable, make_console
from gato_dist.utils.files import lowercase_suffix, write_text_atomically

COMMON = "common tasks"


@dataclass(frozen=True)
class Run:
    """What a run's folder says. results: those of its newest rows whose episodes were kept; places: tokens and
    seconds of training by weights version."""

    name: str
    rows: list[ScoreRow]
    results: list[TaskResult]
    places: dict[int, tuple[int, float]]
    cost: Cost | None

    @classmethod
    def load(cls, folder: Path) -> "Run":
        """folder: of a run, or what `gato-dist evaluate --json` wrote. Raises InputError where it holds no scores, or a
        file cannot be read."""
        if lowercase_suffix(folder) == ".json" and folder.is_file():
            return cls._evaluated(folder)
        rows = read_rows(folder)
        kept = EpisodeLog(RunFolder(folder).episodes).read()
        places = {result.row.weights_version: (result.tokens, result.seconds) for result in kept}
        cost = Cost.load(RunFolder(folder).cost)
        return cls(folder.resolve().name, rows, results_of(rows, kept), places, cost)

    @classmethod
    def _evaluated(cls, path: Path) -> "Run":
        try:
            results = [TaskResult.from_dict(each) for each in json.loads(path.read_text("utf-8"))["tasks"]]
            first = results[0]
        except READ_ERRORS as error:
            raise InputError(f"{path}: not what `gato-dist evaluate --json` writes: {brief(error)}") from error
        places = {first.row.weights_version: (first.tokens, first.seconds)}
        cost = Cost(tokens=first.tokens, training_seconds=first.seconds)
        return cls(path.resolve().stem, [result.row for result in results], results, places, cost)

    @property
    def newest(self) -> dict[str, ScoreRow]:
        return {row.task: row for row in newest_rows(self.rows)}

    @property
    def successes(self) -> dict[str, float | None]:
        """Share of the newest weights' episodes with success, by task."""
        return {result.row.task: result.success for result in self.results}

    def curve(self, tasks: list[str], place: Callable[[int, int], float | None]) -> Points:
        """(x, mean fraction over `tasks`) of each point of `mean_curve`.

        place: x of (weights version, step); None where it is not known.
        """
        points = [(place(point.version, point.step), point.mean) for point in mean_curve(self.rows, tasks)]
        return [(x, mean) for x, mean in points if x is not None]


def compare_runs(folders: list[Path], out: Path | None) -> None:
    """Prints the runs' newest scores side by side, and writes `out`, where given: a page with curves, or a picture.

    Raises InputError where a folder holds no scores, or `out` exists already or ends neither in .html nor in .svg.
    """
    if out and (out.exists() or lowercase_suffix(out) not in (".html", ".svg") or not out.parent.is_dir()):
        raise InputError(f"{out}: give a new file that ends in .html or .svg, in a folder that is there")
    runs = [
        replace(Run.load(folder), name=name)
        for folder, name in zip(folders, _names([folder.resolve() for folder in folders]), strict=True)
    ]
    common = common_tasks(runs)
    head, lines = comparison(runs, common)
    make_console().print(NamedTable(head, lines, "expert-score fraction of the newest weights"))
    if out:
        write_text_atomically(
            out, _page(runs, common, head, lines) if lowercase_suffix(out) == ".html" else _picture(runs)
        )
        print(out)


def _names(folders: list[Path]) -> list[str]:
    """Each folder's last words, as few as tell it from the others; a folder given twice keeps its whole path."""
    most = max(len(folder.parts) for folder in folders)
    for count in range(1, most):
        names = ["/".join(folder.parts[-count:]) for folder in folders]
        if len(set(names)) == len(names):
            return [re.sub(r"\.json$", "", name, flags=re.IGNORECASE) for name in names]
    return [str(folder) for folder in folders]


def common_tasks(runs: list[Run]) -> list[str]:
    """Tasks with a defined fraction in every run, in the first run's order."""
    return [
        task for task in runs[0].newest
        if all(task in run.newest and run.newest[task].fraction is not None for run in runs)
    ]  # fmt: skip


def comparison(runs: list[Run], common: list[str]) -> tuple[list[str], list[list[str]]]:
    """Head and lines of the table: aggregates over the common tasks, then each task of any run."""
    if common:
        lines = _aggregate_lines(runs, common)
    else:
        lines = [["no task with a valid expert is common to all"] + ["–"] * len(runs)]
    for task in dict.fromkeys(task for run in runs for task in run.newest):
        lines.append([task, *(_fraction_text(run.newest.get(task), run.successes.get(task)) for run in runs)])
    return ["", *(run.name for run in runs)], lines


def _aggregate_lines(runs: list[Run], common: list[str]) -> list[list[str]]:
    means = [np.array([run.newest[task].fraction for task in common], float) for run in runs]
    whole = [_aggregate(run, common) for run in runs]
    intervals = [
        estimate_text(each.mean) if each else number_text(float(mean.mean()))
        for each, mean in zip(whole, means, strict=True)
    ]
    success = [
        f"{each.success:.0%} ({each.success_tasks} tasks)" if each and each.success is not None else "–"
        for each in whole
    ]
    return [
        [f"mean of {len(common)} {COMMON}", *intervals],
        ["interquartile mean", *(estimate_text(each.iqm if each else None) for each in whole)],
        ["above 50 %", *(f"{int((mean > 0.5).sum())} of {len(common)}" for mean in means)],
        ["above 80 %", *(f"{int((mean > 0.8).sum())} of {len(common)}" for mean in means)],
        ["success", *success],
        ["learner steps", *(f"{max(row.step for row in run.rows):,}" for run in runs)],
        ["tokens learned", *(f"{run.cost.tokens:,}" if run.cost else "–" for run in runs)],
        ["training", *(duration_text(run.cost.training_seconds) if run.cost else "–" for run in runs)],
    ]


def _aggregate(run: Run, common: list[str]) -> Aggregate | None:
    """None where not all of the common tasks' episodes were kept."""
    results = [result for result in run.results if result.row.task in common]
    return aggregate(COMMON, results) if len(results) == len(common) else None


def _fraction_text(row: ScoreRow | None, success: float | None) -> str:
    if row is None:
        return "–"
    measured = interval_of(row)
    if measured is None:
        return "no expert"
    value, low, high = (number_text(each) for each in measured)
    told = "" if success is None else f", {success:.0%} success"
    return f"{value} [{low}, {high}]{told}"


def _picture(runs: list[Run]) -> str:
    return side_by_side_svg([(run.name, run.newest, run.successes) for run in runs])


def _page(runs: list[Run], common: list[str], head: list[str], lines: list[list[str]]) -> str:
    places: dict[str, Callable[[Run], Callable[[int, int], float | None]]] = {
        "tokens learned": lambda run: lambda version, step: run.places[version][0] if version in run.places else None,
        "learner step": lambda run: lambda version, step: step,
        "minutes of training": lambda run: lambda version, step: (
            run.places[version][1] / 60 if version in run.places else None
        ),
    }
    curves = [
        curves_svg([(run.name, run.curve(common, place(run))) for run in runs], axis) for axis, place in places.items()
    ]
    profiles = [(run.name, [result for result in run.results if result.row.task in common]) for run in runs]
    drawings = "\n".join(
        f"<section>{drawing}</section>" for drawing in [_picture(runs), *curves, profile_svg(profiles)]
    )
    names = ", ".join(run.name for run in runs)
    return page_html(
        f"{names} · gato_dist comparison",
        f"""<small>gato_dist: runs side by side</small><h1>{escape(names)}</h1>
<p>Expert-score fraction, (score − random) / (expert − random), of each run's newest weights, with 95 % bootstrap
intervals over the evaluation's episodes; they do not speak of other training runs. Means, curves and profiles are over
the {len(common)} tasks that all runs were scored on. A curve has a point whenever all of them were scored anew: with
one version of the weights, or, where tasks take turns, with several.</p>
<h2>Scores</h2><section>{table_html(head, lines)}</section><h2>Curves</h2>{drawings}""",
    )
