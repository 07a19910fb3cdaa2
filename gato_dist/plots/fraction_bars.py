"""Bar charts of expert-score fractions: one run's tasks by suite, and several runs side by side."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from gato_dist.plots.figure import (
    EDGE,
    INK,
    PALETTE,
    SOFT,
    WIDTH,
    add_axes,
    mark_random_and_expert,
    new_figure,
    styled,
    task_styles,
    text_width,
)
from gato_dist.plots.score_rows import interval_range, measured_interval, newest_rows
from gato_dist.plots.text import interval_text, number_text, shorten
from gato_dist.scores.table import ScoreRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOP, BOTTOM = 54.0, 44.0  # margins for the title and for the axis, in points
LINE = 19.0  # height of a task's line, in points
RUN_LINE, TASK_GAP = 10.0, 8.0  # of a comparison: height of a run's bar, gap between tasks
VALUES_ROOM = 130.0  # right of the bars
LEGEND_MARK = 34.0  # width of a legend's colour mark with the gaps around it


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar of a chart.

    Attributes:
        y: its vertical position in axis units.
        row: the score to draw; None if the task was not scored.
        colour: the bar's colour.
        note: text at the chart's right edge.
    """

    y: float
    row: ScoreRow | None
    colour: str
    note: str


@styled
def draw_fraction_bars(rows: Sequence[ScoreRow]) -> "Figure":
    """Draws each task's newest fraction as a bar with its 95 % interval, grouped by suite.

    An undefined fraction is shown as "no expert". The axis shows at most −1 … 2; a bar that leaves it ends in an
    arrow, and its value is printed beside it.

    Args:
        rows: rows of scores.csv in the order of the file.
    """
    newest = newest_rows(rows)
    styles = task_styles(newest)
    labels, headings, bars = list[str](), list[int](), list[Bar]()
    for suite, tasks in groupby(newest, key=lambda row: row.suite):
        headings.append(len(labels))
        labels.append(shorten(suite))
        for row in tasks:
            measured = measured_interval(row)
            note = interval_text(*measured) if measured else ""
            bars.append(Bar(y=len(labels), row=row, colour=styles[row.task]["color"], note=note))
            labels.append(shorten(row.task.removeprefix(f"{row.suite}/")))
    figure = new_figure(
        TOP + BOTTOM + LINE * max(len(labels), 1), "Expert-score fraction of the newest weights, with 95 % intervals"
    )
    axes = _fraction_axes(figure, labels, range(len(labels)), interval_range(newest), TOP)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    for heading in headings:
        axes.get_yticklabels()[heading].set_fontweight("bold")
    _draw_bars(axes, bars, height=0.62)
    return figure


@dataclass(frozen=True, kw_only=True)
class RunScores:
    """One run of a comparison.

    Attributes:
        name: the run's name.
        newest: the newest row of each task.
        successes: share of episodes with success by task; None or missing if the task reports no success.
    """

    name: str
    newest: Mapping[str, ScoreRow]
    successes: Mapping[str, float | None]


@styled
def draw_comparison(runs: Sequence[RunScores]) -> "Figure":
    """Draws a bar for each task and run, with its 95 % interval, its fraction and its success rate.

    An undefined fraction is shown as "no expert", a missing score as "–". The axis shows at most −1 … 2.

    Args:
        runs: the runs, at least one. The tasks are those of the first.
    """
    names, tasks = [shorten(run.name) for run in runs], list(runs[0].newest)
    height = RUN_LINE * len(runs) + TASK_GAP
    colours = [PALETTE[i % len(PALETTE)] for i in range(len(runs))]
    columns = max(1, min(len(runs), int((WIDTH - 2 * EDGE) // (text_width(names) + LEGEND_MARK))))
    top = 58 + 14 * math.ceil(len(runs) / columns)
    bars = [
        Bar(
            y=height * place + RUN_LINE * (line + 0.5) + TASK_GAP / 2,
            row=run.newest.get(task),
            colour=colours[line],
            note=_comparison_note(run.newest.get(task), run.successes.get(task)),
        )
        for place, task in enumerate(tasks)
        for line, run in enumerate(runs)
    ]
    figure = new_figure(top + BOTTOM + height * len(tasks), "Expert-score fraction with 95 % intervals, and success")
    limits = interval_range([row for run in runs for row in run.newest.values()])
    middles = [height * (place + 0.5) for place in range(len(tasks))]
    axes = _fraction_axes(figure, [shorten(task) for task in tasks], middles, limits, top)
    axes.set_ylim(height * max(len(tasks), 1), 0)
    _draw_bars(axes, bars, height=0.8 * RUN_LINE)
    _add_legend(figure, list(zip(names, colours, strict=True)), columns)
    return figure


def _add_legend(figure: "Figure", marks: Sequence[tuple[str, str]], columns: int) -> None:
    """Adds (name, colour) marks below the title."""
    from matplotlib.patches import Patch

    corner = EDGE / WIDTH, 1 - 32 / (figure.get_size_inches()[1] * 72)
    handles = [Patch(color=colour, alpha=0.75, label=name) for name, colour in marks]
    figure.legend(
        handles=handles, ncols=columns, loc="upper left", bbox_to_anchor=corner, handlelength=0.9, handleheight=0.9
    )


def _comparison_note(row: ScoreRow | None, success: float | None) -> str:
    measured = measured_interval(row) if row else None
    if measured is None:
        return ""
    return number_text(measured[0]) + ("" if success is None else f", {success:.0%} success")


def _fraction_axes(
    figure: "Figure", labels: Sequence[str], places: Sequence[float], limits: tuple[float, float], top: float
) -> "Axes":
    """Axes with left-aligned names of lines and a horizontal axis of fractions."""
    left = 2 * EDGE + text_width(labels)
    axes = add_axes(figure, left=left, right=VALUES_ROOM, top=top, bottom=BOTTOM)
    axes.set_xlim(*limits)
    axes.xaxis.set_major_formatter(lambda tick, _: number_text(tick, "z.6g"))
    axes.set_xlabel("expert-score fraction")
    axes.set_yticks(list(places), list(labels))
    axes.tick_params(axis="y", pad=left - EDGE, labelsize=9.5, labelcolor=INK)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.grid(visible=False, axis="y")
    mark_random_and_expert(axes, vertical=False)
    return axes


def _draw_bars(axes: "Axes", bars: Sequence[Bar], height: float) -> None:
    """Draws bars, intervals, arrows at the ends of the axis, and notes. The axis must have its final limits."""
    low, high = axes.get_xlim()
    measured = [(bar, interval) for bar in bars if bar.row and (interval := measured_interval(bar.row))]
    ys = [bar.y for bar, _ in measured]
    values, lows, highs = np.clip(np.array([interval for _, interval in measured]).reshape(-1, 3), low, high).T
    axes.barh(ys, values, height, color=[bar.colour for bar, _ in measured], alpha=0.75)
    axes.hlines(ys, lows, highs, color=INK, linewidth=1.1)
    for ends in (lows, highs):
        axes.plot(ends, ys, linestyle="", marker="|", markersize=5, markeredgewidth=1.1, color=INK, clip_on=False)
    for edge, marker, beyond in (
        (low, "<", [bar.y for bar, interval in measured if min(interval) < low]),
        (high, ">", [bar.y for bar, interval in measured if max(interval) > high]),
    ):
        axes.plot([edge] * len(beyond), beyond, linestyle="", marker=marker, markersize=6, color=INK, clip_on=False)
    _write_notes(axes, bars)


def _write_notes(axes: "Axes", bars: Sequence[Bar]) -> None:
    """Writes each bar's note at the right edge, and what replaces a bar that has no defined fraction."""
    for bar in bars:
        if bar.row is None or measured_interval(bar.row) is None:
            axes.annotate(
                "no expert" if bar.row else "–", (0, bar.y), xytext=(5, 0), textcoords="offset points", va="center",
                color=SOFT, size=9.0,
            )  # fmt: skip
        else:
            axes.annotate(
                bar.note, (1, bar.y), xycoords=axes.get_yaxis_transform(), xytext=(VALUES_ROOM - EDGE, 0),
                textcoords="offset points", ha="right", va="center", size=9.0, annotation_clip=False,
            )  # fmt: skip
