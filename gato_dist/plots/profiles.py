"""Drawings over tasks: performance profiles, and curves of several runs on one pair of axes."""

import math
from collections.abc import Sequence
from itertools import cycle, pairwise

import numpy as np

from gato_dist.plots.drawing import LOOKS, PALETTE, WIDTH, Drawing, Points, Scale, number_text, shorten, spread
from gato_dist.scores.results import THRESHOLDS, TaskResult, profile, with_expert

BANDS = 3  # more of them hide one another
SOME_TASKS = 3  # fewer make no profile


def profile_svg(series: Sequence[tuple[str, Sequence[TaskResult]]]) -> str:
    """A standalone SVG: share of tasks above each expert-score fraction (Reed et al. 2022, figure 5), a line a name.

    Takes (name, newest result of each task). Names without a task that has a valid expert are left out. Lines carry
    their pointwise 95 % stratified bootstrap bands; of more than three, only the first does.
    """
    drawn = [(name, len(valid), *profile(valid)) for name, results in series if (valid := with_expert(results))]
    drawing, left, top, bottom = Drawing(), 76, 60, 360
    right = WIDTH - 64 - 7.4 * max((len(_titled(name, count)) for name, count, *_ in drawn), default=0)
    across, up = Scale(THRESHOLDS[0], THRESHOLDS[-1], left, right), Scale(0.0, 1.0, bottom, top)
    drawing.axes(across, up, "expert-score fraction", {}, whole=False)
    drawing.line([(across(1.0), top), (across(1.0), bottom)], 'class="dotted"')
    drawing.text(across(1.0), top - 6, "expert", "soft", "middle")
    for place, ((name, count, share, low, high), (colour, dash)) in enumerate(zip(drawn, cycle(LOOKS), strict=False)):
        lower, line, upper = (
            _stairs([(across(x), up(y)) for x, y in zip(THRESHOLDS, values, strict=True)])
            for values in (low, share, high)
        )
        if len(drawn) <= BANDS or not place:
            points = " ".join(f"{x},{y}" for x, y in [*lower, *upper[::-1]])
            drawing.parts.append(f'<polygon points="{points}" fill="{colour}" fill-opacity=".15"/>')
        look = f'stroke="{colour}" stroke-width="{2 if place else 2.8}" stroke-dasharray="{dash}"'
        drawing.line(line, look)
        y = top + 10 + 20 * place
        drawing.line([(right + 14, y - 4), (right + 36, y - 4)], look)
        drawing.text(right + 42, y, _titled(name, count))
    title = "Share of tasks above each fraction" + ("" if drawn else ": no task has a valid expert")
    return drawing.svg(bottom + 50, title)


def curves_svg(series: Sequence[tuple[str, Points]], axis: str) -> str:
    """A standalone SVG of the (x, mean expert-score fraction) points of several names; axis: what x is.

    Names without points are left out. The upright axis shows −1 … 2 at most.
    """
    drawn = [(name, points) for name, points in series if len(points)]
    xs, ys = ([point[place] for _, points in drawn for point in points] for place in (0, 1))
    drawing, left, top, bottom = Drawing(), 104, 52, 332
    right = WIDTH - 76 - 7.2 * max((len(shorten(name)) + 5 for name, _ in drawn), default=0)
    across = Scale(0.0, max([*xs, 1e-9]), left, right)
    up = Scale(max(-1.0, min([0.0, *ys]) - 0.04), min(2.0, max([1.0, *ys]) + 0.04), bottom, top)
    drawing.axes(across, up, axis, {0.0: "random ", 1.0: "expert "}, whole=across.high > 6)
    labels = []
    for (name, points), (colour, dash) in zip(drawn, cycle(LOOKS), strict=False):
        places = [(across(x), up(y)) for x, y in sorted(points)]
        drawing.line(places, f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"')
        drawing.parts += [f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}"/>' for x, y in places]
        labels.append((places[-1][1], places[-1][0], colour, f"{shorten(name)} {number_text(sorted(points)[-1][1])}"))
    labels.sort()
    for y, (end, x, colour, name) in zip(spread([label[0] for label in labels], 17, top, bottom), labels, strict=True):
        drawing.line([(x + 4, end), (x + 16, y), (x + 22, y)], f'stroke="{colour}"')
        drawing.text(x + 26, y + 4, name)
    title = f"Mean expert-score fraction by {axis}" + ("" if drawn else ": nothing was recorded")
    return drawing.svg(bottom + 50, title)


def profile_image(results: Sequence[TaskResult]) -> np.ndarray:
    """The performance profile with its band as a picture, uint8 [360, 560, 3]; one task with a valid expert or more."""
    from PIL import Image, ImageDraw

    share, low, high = profile(results)
    across, up = Scale(THRESHOLDS[0], THRESHOLDS[-1], 60, 540), Scale(0.0, 1.0, 310, 40)
    picture = Image.new("RGB", (560, 360), "white")
    pen = ImageDraw.Draw(picture)
    lower, line, upper = (
        _stairs([(across(x), up(y)) for x, y in zip(THRESHOLDS, values, strict=True)]) for values in (low, share, high)
    )
    pen.polygon([*lower, *upper[::-1]], fill="#d3e5f1")
    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        pen.line([(across.start, up(tick)), (across.end, up(tick))], fill="#d8dee4")
        pen.text((across.start - 8, up(tick)), f"{tick:.1f}", fill="#59636e", anchor="rm")
        pen.text((across(tick), up.start + 8), f"{tick:.1f}", fill="#59636e", anchor="mt")
    pen.line(line, fill=PALETTE[0], width=3)
    pen.text((60, 14), f"share of {len(results)} tasks above each expert-score fraction", fill="#1f2328")
    pen.text((300, 340), "expert-score fraction", fill="#59636e", anchor="mt")
    return np.asarray(picture)


def _titled(name: str, tasks: int) -> str:
    return f"{shorten(name)} ({tasks} task{'s' * (tasks != 1)})"


def _stairs(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A share changes at a fraction, not between two."""
    corners = [points[0]]
    for (_, before), (x, after) in pairwise(points):
        if not math.isclose(before, after):
            corners += [(x, before), (x, after)]
    return [*corners, points[-1]]
