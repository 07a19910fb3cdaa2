"""Grids of small charts: scalars of training, histograms of episodes, and histograms of replay."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gato_dist.plots.figure import EDGE, PALETTE, SOFT, WIDTH, Points, add_axes, new_figure, styled, text_width
from gato_dist.plots.text import number_text, plural, score_text, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BINS = 30
MEAN_POINTS = 60  # of a curve that is logged more often, the means that the eye can follow
TOP = 30.0  # margin for the title, in points
PANEL = 145.0  # height of a chart with its titles and labels, in points
SCALARS = {
    "learner/loss": "Loss",
    "learner/tokens_per_second": "Tokens learned per second",
    "actors/env_steps_per_second": "Environment steps per second",
    "replay/tokens_in_per_second": "Tokens into replay per second",
    "weights/lag": "Weights lag (versions)",
    "sequences/relabelled": "Share of relabelled sequences",
}


@styled
def draw_scalars(scalars: Mapping[str, Points]) -> "Figure":
    """Draws small charts of training scalars by learner step.

    Args:
        scalars: (step, value) points by TensorBoard tag. Tags that `SCALARS` does not name are left out.
    """
    shown = [tag for tag in SCALARS if scalars.get(tag)]
    title = "Loss and throughput " + ("by learner step" if shown else "were not recorded")
    figure = _grid_figure(len(shown), title)
    for place, tag in enumerate(shown):
        axes = _panel(figure, place, SCALARS[tag], f"last {score_text(scalars[tag][-1][1])}")
        _draw_scalar(axes, np.array(scalars[tag], np.float64), PALETTE[place], from_zero=tag != "learner/loss")
    return figure


@styled
def draw_distributions(tasks: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> "Figure":
    """Draws histograms of each task's episode returns and lengths.

    Args:
        tasks: (name, returns [n], lengths [n]) of each task, n > 0. Returns that are not finite are left out.
    """
    figure = _grid_figure(2 * len(tasks), "Returns and lengths of episodes")
    for place, (name, returns, lengths) in enumerate(tasks):
        finite = returns[np.isfinite(returns)]
        title = f"{shorten(name)}: {plural(len(returns), 'episode')}"
        _draw_histogram(_panel(figure, 2 * place, title, bottom=38), "return", finite, PALETTE[0])
        _draw_histogram(_panel(figure, 2 * place + 1, bottom=38), "steps", lengths, PALETTE[2])
    return figure


@styled
def draw_replay_histograms(histograms: Mapping[str, Sequence[tuple[str, int]]]) -> "Figure":
    """Draws how old the sequences drawn from replay were, and how often each was drawn.

    Args:
        histograms: by title, (name of the bin, count) of each bin. Counts are shown as shares of their sum.
    """
    figure = _grid_figure(len(histograms), "Age and use of sequences from replay", panel=PANEL + 40)
    for place, (title, counts) in enumerate(histograms.items()):
        total = sum(count for _, count in counts)
        used = counts[: 1 + max(i for i, (_, count) in enumerate(counts) if count)]
        names, shares = [name for name, _ in used], [count / total for _, count in used]
        axes = _panel(figure, place, title, bottom=58, panel=PANEL + 40)
        bars = axes.bar(range(len(used)), shares, color=PALETTE[place], alpha=0.8)
        axes.bar_label(bars, [f"{share:.0%}" for share in shares], padding=1, size=7.5, color=SOFT)
        crowded = text_width(names, 9.0) * len(names) > 240
        axes.set_xticks(
            range(len(used)), names, rotation=45 if crowded else 0, ha="right" if crowded else "center",
            rotation_mode="anchor" if crowded else "default",
        )  # fmt: skip
        axes.yaxis.set_major_formatter(lambda tick, _: f"{tick:.0%}")
        axes.grid(visible=False, axis="x")
        axes.margins(y=0.12)
    return figure


def _grid_figure(panels: int, title: str, panel: float = PANEL) -> "Figure":
    """An empty figure for this many charts, two in a row."""
    return new_figure(TOP + EDGE + panel * math.ceil(panels / 2), title)


def _panel(
    figure: "Figure", place: int, title: str = "", note: str = "", *, bottom: float = 24.0, panel: float = PANEL
) -> "Axes":
    """The chart at a place of the grid, counted row by row, with a title to the left and a note to the right."""
    height = figure.get_size_inches()[1] * 72
    column, line = place % 2, place // 2
    top = TOP + panel * line
    axes = add_axes(
        figure,
        left=EDGE + 36 + column * WIDTH / 2, right=EDGE + (1 - column) * WIDTH / 2,
        top=top + 32, bottom=height - top - panel + bottom,
    )  # fmt: skip
    axes.annotate(title, (0, 1), xycoords="axes fraction", xytext=(-36, 8), textcoords="offset points", weight="bold")
    axes.set_title(note, loc="right", size=9.0, weight="normal", color=SOFT, pad=8)
    axes.locator_params(nbins=4)
    return axes


def _draw_scalar(axes: "Axes", points: np.ndarray, colour: str, *, from_zero: bool) -> None:
    """A curve of (step, value) points [n, 2]; many points are shown pale behind their means."""
    steps, values = points.T
    low, high = min(0.0, values.min()) if from_zero else values.min(), values.max()
    pad = (high - low) * 0.06 or 1.0
    axes.set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    axes.set_ylim(low - pad if low else 0.0, high + pad)
    axes.locator_params(axis="x", nbins=5, integer=True)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda tick, _: number_text(tick, "z,.6g"))
    count = min(len(steps), MEAN_POINTS)
    if count < len(steps):
        axes.plot(steps, values, color=colour, alpha=0.3)
    means = [[part.mean() for part in np.array_split(column, count)] for column in (steps, values)]
    axes.plot(*means, color=colour, marker="o" if count == 1 else "")


def _draw_histogram(axes: "Axes", name: str, values: np.ndarray, colour: str) -> None:
    """Counts of episodes by value; equal values make one bar in the middle."""
    if not len(values):
        axes.set_axis_off()
        return
    low, high = float(values.min()), float(values.max())
    pad = 0.0 if high > low else 0.5 * max(1.0, abs(low))
    bins = min(MOST_BINS, max(4, len(values) // 2)) if high > low else 3
    counts, edges = np.histogram(values, bins, (low - pad, high + pad))
    axes.stairs(counts, edges, fill=True, color=colour, alpha=0.8)
    axes.set_xlabel(f"{name}: mean {score_text(values.mean())}")
    axes.set_ylabel("episodes")
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0, counts.max() * 1.04)
    axes.locator_params(axis="y", nbins=4, integer=True)
    axes.locator_params(axis="x", nbins=5)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(lambda tick, _: number_text(tick, "z,.6g"))
    axes.grid(visible=False, axis="x")
