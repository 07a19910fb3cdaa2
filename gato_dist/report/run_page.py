"""report.html: a run's scores, curves, training and cost, on one self-contained page."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from markupsafe import Markup

from gato_dist.plots.curves import draw_learning_curves, draw_mean_curves
from gato_dist.plots.fraction_bars import draw_fraction_bars
from gato_dist.plots.panels import draw_replay_histograms, draw_scalars
from gato_dist.plots.profile import FEWEST_TASKS, draw_profiles
from gato_dist.report.pages import Table, chart_markup, render_page
from gato_dist.report.run_records import RunRecords, check_run_folder, newest_results
from gato_dist.report.run_summary import Tile, measurement_sentence, summary_sentence, tiles
from gato_dist.report.run_tables import aggregate_table, cost_table, replay_histograms, score_table, source_table
from gato_dist.scores.results import ALL_TASKS, TaskResult, human_sources
from gato_dist.scores.table import mean_curve
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.locks import hold_file


@dataclass(frozen=True, kw_only=True)
class AggregateSection:
    """Aggregates over tasks.

    Attributes:
        table: one row per suite, and one for all tasks.
        human_sources: who published the human scores; empty if there are none.
        without_expert: names of the tasks that are left out of fractions.
        profiles: the performance profiles.
    """

    table: Table
    human_sources: str
    without_expert: str
    profiles: Markup


@dataclass(frozen=True, kw_only=True)
class SourceSection:
    """Which sequences the run learned from: a table by task, and histograms of their age and reuse."""

    table: Table
    histograms: Markup


@dataclass(frozen=True, kw_only=True)
class RunPage:
    """All that templates/run.html shows. Sections that the run has no records for are None."""

    title: str
    folder: str
    written: str
    summary: str
    tiles: Sequence[Tile]
    quarantined: Sequence[str]
    measurement: str
    fraction_bars: Markup
    aggregates: AggregateSection | None
    mean_curve: Markup | None
    learning_curves: Markup
    scores: Table
    scalars: Markup
    sources: SourceSection | None
    cost: Table | None
    config: str

    @classmethod
    def of(cls, records: RunRecords) -> "RunPage":
        """Returns the page of a run's records."""
        rows = records.rows
        results = newest_results(rows, records.results)
        return cls(
            title=_title(records),
            folder=records.folder,
            written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            summary=summary_sentence(rows, records.scalars),
            tiles=tiles(rows, results, records.cost),
            quarantined=[str(task) for task in records.quarantined],
            measurement=measurement_sentence(rows, records.config),
            fraction_bars=chart_markup(draw_fraction_bars(rows)),
            aggregates=_aggregate_section(results) if results else None,
            mean_curve=_mean_curve(records),
            learning_curves=chart_markup(draw_learning_curves(rows)),
            scores=score_table(rows, results),
            scalars=chart_markup(draw_scalars(records.scalars)),
            sources=_source_section(records),
            cost=cost_table(records.cost) if records.cost else None,
            config=records.config,
        )


def write_report(run: Path, patience: float = 0.0) -> Path:
    """Writes report.html into a run folder. An older page stays until the new one is complete.

    Args:
        run: the run's folder.
        patience: seconds to wait for another process that is writing the page.

    Returns:
        The page's path.

    Raises:
        InputError: if scores.csv or config.yaml is missing, a file cannot be read, or another process is still writing
            the page.
    """
    check_run_folder(run)
    path = run / "report.html"
    with hold_file(path, patience):
        page = RunPage.of(RunRecords.load(run))
        write_text_atomically(path, render_page("run.html", title=page.title, kind="report", page=page))
    return path


def _title(records: RunRecords) -> str:
    """The run's name from its config, which is read as text: a damaged one still gets a page."""
    found = re.search(r"^name:[ \t]*(\S.*)$", records.config, re.MULTILINE)
    return found[1].strip().strip("'\"") if found else records.folder


def _aggregate_section(results: Sequence[TaskResult]) -> AggregateSection:
    suites = dict.fromkeys(result.row.suite for result in results)
    series = [(suite, [result for result in results if result.row.suite == suite]) for suite in suites]
    shown = [(suite, of_suite) for suite, of_suite in series if len(of_suite) >= FEWEST_TASKS]
    if len(series) > 1:
        shown.insert(0, (ALL_TASKS, list(results)))
    return AggregateSection(
        table=aggregate_table(results),
        human_sources=human_sources(results),
        without_expert=", ".join(result.row.task for result in results if result.row.fraction is None),
        profiles=chart_markup(draw_profiles(shown or series)),
    )


def _mean_curve(records: RunRecords) -> Markup | None:
    """Mean fraction over all tasks by tokens learned; None if it has fewer than two points."""
    tokens = {result.row.weights_version: result.tokens for result in records.results}
    points = [
        (tokens[point.version], point.mean)
        for point in mean_curve(list(records.rows))
        if point.equal_episodes and point.version in tokens
    ]
    return chart_markup(draw_mean_curves([(ALL_TASKS, points)], "tokens learned")) if len(points) > 1 else None


def _source_section(records: RunRecords) -> SourceSection | None:
    table = source_table(records.usage)
    if table is None:
        return None
    return SourceSection(table=table, histograms=chart_markup(draw_replay_histograms(replay_histograms(records.usage))))
