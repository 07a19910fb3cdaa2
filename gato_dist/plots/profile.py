"""Performance profiles: the share of tasks above each expert-score fraction."""

from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from gato_dist.plots.figure import (
    EDGE,
    LINE_STYLES,
    SOFT,
    WIDTH,
    add_axes,
    new_figure,
    styled,
    text_width,
    to_pixels,
)
from gato_dist.plots.text import plural, shorten
from gato_dist.scores.results import ALL_TASKS, THRESHOLDS, TaskResult, profile, with_expert

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BANDS = 3  # more of them hide one another
FEWEST_TASKS = 3  # a profile of fewer tasks shows nothing
IMAGE_SIZE = 560.0, 360.0  # of TensorBoard's image, in pixels


@styled
def draw_profiles(
    series: Sequence[tuple[str, Sequence[TaskResult]]], width: float = WIDTH, height: float = 310.0
) -> "Figure":
    """Draws the share of tasks above each expert-score fraction (Reed et al. 2022, figure 5), one line per name.

    Lines carry their pointwise 95 % stratified bootstrap bands; if there are more than three, only the first does.
    Names without a task that has a valid expert are left out.

    Args:
        series: (name, newest result of each task) of each line.
        width: width in points.
        height: height in points.
    """
    drawn = [(name, valid) for name, results in series if (valid := with_expert(results))]
    labels = [f"{shorten(name)} ({plural(len(valid), 'task')})" for name, valid in drawn]
    title = "Share of tasks above each fraction" + ("" if drawn else ": no task has a valid expert")
    figure = new_figure(height, title, width)
    right = EDGE + 46 + text_width(labels)
    axes = add_axes(figure, left=EDGE + 46, right=right, top=54, bottom=44)
    axes.set(xlim=(THRESHOLDS[0], THRESHOLDS[-1]), ylim=(0, 1))
    axes.set(xlabel="expert-score fraction", ylabel="share of tasks")
    axes.axvline(1.0, color=SOFT, linewidth=1.0, linestyle=(0, (1, 2.5)))
    axes.annotate("expert", (1, 1), xytext=(0, 4), textcoords="offset points", ha="center", color=SOFT, size=9.0)
    lines = []
    for place, ((_, valid), style) in enumerate(zip(drawn, cycle(LINE_STYLES), strict=False)):
        share, low, high = profile(valid)
        if len(drawn) <= MOST_BANDS or not place:
            axes.fill_between(THRESHOLDS, low, high, step="post", color=style["color"], alpha=0.15, linewidth=0)
        lines += axes.step(THRESHOLDS, share, where="post", **style)
    axes.legend(lines, labels, loc="upper left", bbox_to_anchor=(1.03, 1))
    return figure


def profile_image(results: Sequence[TaskResult]) -> np.ndarray:
    """Returns the performance profile of one or more tasks as a picture for TensorBoard: uint8 [360, 560, 3]."""
    return to_pixels(draw_profiles([(ALL_TASKS, results)], *IMAGE_SIZE))
