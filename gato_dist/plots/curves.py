"""Line charts of expert-score fractions: by learner step, by another measure of training, by number of episodes."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from gato_dist.plots.figure import (
    EDGE,
    LABEL_GAP,
    LINE_STYLES,
    WIDTH,
    Points,
    add_axes,
    label_line_ends,
    mark_random_and_expert,
    new_figure,
    styled,
    task_styles,
    text_width,
)
from gato_dist.plots.score_rows import fraction_range, interval_range, measured_interval
from gato_dist.plots.text import number_text, shorten
from gato_dist.scores.table import ScoreRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BANDS = 8  # more of them hide one another
TOP, BOTTOM = 44.0, 44.0  # margins for the title and for the axis, in points
LEFT = EDGE + 54.0  # room for "expert 1"
LEADER, LEGEND_LINE = 24.0, 50.0  # between the plotting area and a label, or the text of a legend


@styled
def draw_learning_curves(rows: Sequence[ScoreRow]) -> "Figure":
    """Draws every task's fraction by learner step, each line named at its end.

    Tasks without a defined fraction are left out. Up to eight lines carry their 95 % intervals as bands. The axis shows
    at most −1 … 2.

    Args:
        rows: rows of scores.csv in the order of the file.
    """
    curves: dict[str, dict[int, tuple[float, float, float]]] = {}
    for row in rows:
        if measured := measured_interval(row):
            curves.setdefault(row.task, {})[row.step] = measured
    banded = len(curves) <= MOST_BANDS
    labels = {task: f"{shorten(task)} {number_text(curve[max(curve)][0])}" for task, curve in curves.items()}
    title = "Expert-score fraction by learner step" + ", with 95 % intervals" * banded
    figure = new_figure(TOP + BOTTOM + max(225.0, (LABEL_GAP + 0.5) * len(curves)), title)
    axes = _curve_axes(figure, list(labels.values()), interval_range(rows))
    axes.set_xlabel("learner step")
    steps = [step for curve in curves.values() for step in curve] or [0]
    _whole_numbers(axes, min(steps), max(*steps, min(steps) + 1))
    styles = task_styles(rows)
    ends = []
    for task, curve in curves.items():
        x = sorted(curve)
        values, lows, highs = np.clip(np.array([curve[step] for step in x]), *axes.get_ylim()).T
        if banded:
            axes.fill_between(x, lows, highs, color=styles[task]["color"], alpha=0.12, linewidth=0)
        axes.plot(x, values, marker="o", clip_on=False, **styles[task])
        ends.append((x[-1], values[-1], styles[task]["color"], labels[task]))
    label_line_ends(figure, axes, ends)
    return figure


@styled
def draw_mean_curves(series: Sequence[tuple[str, Points]], axis: str) -> "Figure":
    """Draws the mean expert-score fraction of several runs against a measure of training.

    Names without points are left out. The vertical axis shows at most −1 … 2.

    Args:
        series: (name, (x, mean fraction) points) of each line.
        axis: what x is, with its unit.
    """
    drawn = [(name, np.array(sorted(points), float)) for name, points in series if len(points)]
    labels = [f"{shorten(name)} {number_text(points[-1, 1])}" for name, points in drawn]
    title = f"Mean expert-score fraction by {axis}" + ("" if drawn else ": nothing was recorded")
    figure = new_figure(TOP + BOTTOM + max(215.0, LABEL_GAP * len(drawn)), title)
    fractions = [value for _, points in drawn for value in points[:, 1]]
    axes = _curve_axes(figure, labels, fraction_range(fractions))
    axes.set_xlabel(axis)
    highest = max([points[-1, 0] for _, points in drawn] + [1e-9])
    if highest > 6:
        _whole_numbers(axes, 0, highest)
    else:
        axes.set_xlim(0, highest)
    ends = []
    for (_, points), style, label in zip(drawn, cycle(LINE_STYLES), labels, strict=False):
        x, y = points[:, 0], np.clip(points[:, 1], *axes.get_ylim())
        axes.plot(x, y, marker="o", clip_on=False, **style)
        ends.append((x[-1], y[-1], style["color"], label))
    label_line_ends(figure, axes, ends)
    return figure


@styled
def draw_few_shot(task: str, curves: Mapping[str, Mapping[int, Sequence[float]]]) -> "Figure":
    """Draws fractions against the number of training episodes, on a logarithmic axis.

    A line connects the means of the series, a band spans the lowest to the highest, and each series is a dot. The
    vertical axis shows at most −1 … 2.

    Args:
        task: the task's name.
        curves: by name, the fractions of all series by number of episodes ≥ 1.
    """
    figure = new_figure(TOP + BOTTOM + 240, f"{shorten(task)}: expert-score fraction by number of episodes")
    fractions = [value for curve in curves.values() for values in curve.values() for value in values]
    names = [shorten(name) for name in curves]
    axes = _curve_axes(figure, names, fraction_range(fractions), leader=LEGEND_LINE)
    axes.set_xlabel("training episodes (logarithmic)")
    sizes = sorted({size for curve in curves.values() for size in curve}) or [1]
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.15, max(sizes[-1], 1.5 * sizes[0]) * 1.15)
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    handles = []
    for curve, style in zip(curves.values(), cycle(LINE_STYLES), strict=False):
        x = sorted(curve)
        values = [np.clip(curve[size], *axes.get_ylim()) for size in x]
        axes.fill_between(
            x, [each.min() for each in values], [each.max() for each in values],
            color=style["color"], alpha=0.12, linewidth=0,
        )  # fmt: skip
        handles += axes.plot(x, [each.mean() for each in values], **style)
        dots = [(size, value) for size, each in zip(x, values, strict=True) for value in each]
        axes.plot([size for size, _ in dots], [y for _, y in dots], "o", markersize=4.5, color=style["color"])
    axes.legend(handles, names, loc="upper left", bbox_to_anchor=(1.03, 1))
    return figure


def _curve_axes(figure: "Figure", labels: Sequence[str], limits: tuple[float, float], leader: float = LEADER) -> "Axes":
    """Axes with room for labels at their right, and a vertical axis of fractions."""
    right = EDGE + leader + max(text_width(labels), 40.0)
    axes = add_axes(figure, left=LEFT, right=min(right, WIDTH / 2), top=TOP, bottom=BOTTOM)
    axes.set_ylim(*limits)
    mark_random_and_expert(axes, vertical=True)
    return axes


def _whole_numbers(axes: "Axes", low: float, high: float) -> None:
    """Limits of a horizontal axis whose ticks are whole numbers."""
    axes.set_xlim(low, high)
    axes.locator_params(axis="x", nbins=6, integer=True)
    axes.xaxis.set_major_formatter("{x:,.0f}")
