"""Drawings of a run's scores and figures: standalone SVGs, from strings alone."""

import math
from collections.abc import Sequence
from itertools import cycle, groupby

import numpy as np

from gato_dist.plots.drawing import (
    LOOKS,
    PALETTE,
    WIDTH,
    Drawing,
    Points,
    Scale,
    number_text,
    score_text,
    shorten,
    spread,
)
from gato_dist.scores.table import ScoreRow

BINS = 30  # of a histogram
BANDS = 8  # more of them hide one another
SCALARS = {
    "learner/loss": "Loss",
    "learner/tokens_per_second": "Tokens learned per second",
    "actors/env_steps_per_second": "Environment steps per second",
    "replay/tokens_in_per_second": "Tokens into replay per second",
    "weights/lag": "Weights lag (versions)",
    "sequences/relabelled": "Share of relabelled sequences",
}


def fraction_bars_svg(rows: list[ScoreRow]) -> str:
    """A standalone SVG: each task's newest fraction as a bar, its 95 % interval as whiskers, grouped by suite.

    Takes rows in file order. An undefined fraction reads 'no expert'. The axis shows −1 … 2 at most; what leaves it
    ends in an arrow, and its value tells how far.
    """
    drawing, newest, looks = Drawing(), newest_rows(rows), _looks(rows)
    top, bottom = 72, 72 + 26 * len(newest) + 30 * len({row.suite for row in newest})
    left = 44 + 7.4 * max((len(_name(row)) for row in newest), default=0)
    scale = Scale(*fraction_range(newest), left, WIDTH - 184)
    for tick in scale.ticks():
        drawing.line([(scale(tick), top), (scale(tick), bottom)], 'class="grid"')
        drawing.text(scale(tick), bottom + 18, number_text(tick, "z.6g"), "soft", "middle")
    y = top
    for suite, tasks in groupby(newest, key=lambda row: row.suite):
        drawing.text(16, y + 21, shorten(suite), "bold")
        y += 30
        for row in tasks:
            _bar(drawing, row, y + 13, scale, looks[row.task][0])
            y += 26
    for value, name in ((0.0, "random"), (1.0, "expert")):
        drawing.line([(scale(value), top - 6), (scale(value), bottom)], 'class="dotted"')
        drawing.text(scale(value), top - 12, name, "soft", "middle")
    return drawing.svg(bottom + 32, "Expert-score fraction of the newest weights, with 95 % intervals")


def learning_curves_svg(rows: list[ScoreRow]) -> str:
    """A standalone SVG: every task's fraction by learner step, each line named at its end.

    Takes rows in file order; tasks whose fraction is undefined are left out. Up to eight lines carry their 95 %
    intervals as bands. The axis shows −1 … 2 at most.
    """
    drawing, looks, curves = Drawing(), _looks(rows), dict[str, dict[int, ScoreRow]]()
    for row in rows:
        if interval_of(row):
            curves.setdefault(row.task, {})[row.step] = row
    steps = [step for curve in curves.values() for step in curve] or [0]
    left, right = 84, WIDTH - 76 - 7.2 * max((len(shorten(task)) for task in curves), default=0)
    top, bottom = 52, 52 + max(300, 18 * len(curves))
    across = Scale(min(steps), max(*steps, min(steps) + 1), left, right)
    up = Scale(*fraction_range(rows), bottom, top)
    drawing.axes(across, up, "learner step", {0.0: "random ", 1.0: "expert "})
    for value in (0.0, 1.0):
        drawing.line([(left, up(value)), (right, up(value))], 'class="dotted"')
    for task, curve in curves.items():
        _curve(drawing, [curve[step] for step in sorted(curve)], across, up, *looks[task], len(curves) <= BANDS)
    last = {task: curve[max(curve)] for task, curve in curves.items()}
    ends = sorted((up(row.fraction or 0.0), across(row.step), task) for task, row in last.items())
    for y, (end, x, task) in zip(spread([end[0] for end in ends], 17, top, bottom), ends, strict=True):
        drawing.line([(x + 4, end), (right + 16, y), (right + 22, y)], f'stroke="{looks[task][0]}"')
        drawing.text(right + 26, y + 4, f"{shorten(task)} {number_text(last[task].fraction)}")
    return drawing.svg(
        bottom + 46, "Expert-score fraction by learner step" + ", with 95 % intervals" * (len(curves) <= BANDS)
    )


def scalars_svg(scalars: dict[str, Points]) -> str:
    """A standalone SVG of small charts, two abreast, of the (step, value) points of those tags that SCALARS names."""
    drawing, shown = Drawing(), [tag for tag in SCALARS if scalars.get(tag)]
    for place, tag in enumerate(shown):
        _small_chart(drawing, 430 * (place % 2), 36 + 190 * (place // 2), tag, scalars[tag], PALETTE[place])
    title = "Loss and throughput " + ("by learner step" if shown else "were not recorded")
    return drawing.svg(40 + 190 * math.ceil(len(shown) / 2), title)


def distributions_svg(tasks: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> str:
    """A standalone SVG: histograms of each task's returns and lengths, side by side.

    Takes (name, returns [n], lengths [n]) of every task, n > 0. Returns that are not finite are left out.
    """
    drawing = Drawing()
    for place, (name, returns, lengths) in enumerate(tasks):
        y = 44 + 190 * place
        drawing.text(16, y + 12, f"{shorten(name)}: {len(returns):,} episodes", "bold")
        _histogram(drawing, 0, y + 12, "return", returns[np.isfinite(returns)], PALETTE[0])
        _histogram(drawing, 430, y + 12, "steps", lengths, PALETTE[2])
    return drawing.svg(54 + 190 * len(tasks), "Returns and lengths of episodes")


def bars_svg(histograms: dict[str, list[tuple[str, int]]]) -> str:
    """A standalone SVG: of each title its counts by the name of their bin, as shares of their sum, two abreast."""
    drawing = Drawing()
    for place, (title, counts) in enumerate(histograms.items()):
        x, y = 430 * (place % 2), 36 + 190 * (place // 2)
        most, total = max(count for _, count in counts), sum(count for _, count in counts)
        shown = counts[: 1 + max(index for index, (_, count) in enumerate(counts) if count)]
        width = 346 / len(shown)
        up = Scale(0.0, most / total, y + 146, y + 34)
        drawing.text(x + 16, y + 20, title, "bold")
        for index, (name, count) in enumerate(shown):
            left = x + 64 + index * width
            shape = f'x="{left + 1:.1f}" y="{up(count / total)}" width="{width - 2:.1f}"'
            shape += f' height="{up(0.0) - up(count / total):.1f}"'
            drawing.parts.append(f'<rect {shape} fill="{PALETTE[place]}" fill-opacity=".8"/>')
            drawing.text(left + width / 2, up.start + 16, name, "soft", "middle")
            drawing.text(left + width / 2, up(count / total) - 4, f"{count / total:.0%}", "soft", "middle")
    return drawing.svg(40 + 190 * math.ceil(len(histograms) / 2), "Age and use of sequences from replay")


def _bar(drawing: Drawing, row: ScoreRow, y: float, scale: Scale, colour: str) -> None:
    """One task's line of the bar chart; y is its middle."""
    drawing.text(32, y + 4, _name(row))
    zero, measured = scale(0.0), interval_of(row)
    if measured is None:
        drawing.text(zero + 8, y + 4, "no expert", "soft")
        return
    x, start, end = (scale(value) for value in measured)
    shape = f'x="{min(x, zero)}" y="{y - 8}" width="{abs(x - zero):.1f}" height="16"'
    drawing.parts.append(f'<rect {shape} fill="{colour}" fill-opacity=".7"/>')
    drawing.line([(start, y - 5), (start, y + 5), (start, y), (end, y), (end, y - 5), (end, y + 5)], 'class="whisker"')
    for beyond, edge, way in ((min(measured) < scale.low, scale.start, -1), (max(measured) > scale.high, scale.end, 1)):
        if beyond:
            drawing.parts.append(f'<path d="M{edge + way * 2:.1f},{y - 6} v12 l{way * 8},-6 z" class="ink"/>')
    fraction, low, high = (number_text(value) for value in measured)
    drawing.text(WIDTH - 16, y + 4, f"{fraction} [{low}, {high}]", anchor="end")


def _curve(
    drawing: Drawing, rows: list[ScoreRow], across: Scale, up: Scale, colour: str, dash: str, banded: bool
) -> None:
    points = [(across(row.step), *(up(value) for value in interval_of(row) or ())) for row in rows]
    if banded:
        edge = [(x, low) for x, _, low, _ in points] + [(x, high) for x, _, _, high in reversed(points)]
        band = " ".join(f"{x},{y}" for x, y in edge)
        drawing.parts.append(f'<polygon points="{band}" fill="{colour}" fill-opacity=".12"/>')
    look = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
    drawing.line([(x, y) for x, y, _, _ in points], look)
    drawing.parts += [f'<circle cx="{x}" cy="{y}" r="2.6" fill="{colour}"/>' for x, y, _, _ in points]


def _small_chart(drawing: Drawing, x: float, y: float, tag: str, points: Points, colour: str) -> None:
    steps, values = np.array(points, np.float64).T
    low, high = values.min() if tag == "learner/loss" else min(0.0, values.min()), values.max()
    pad = (high - low) * 0.06 or 1.0
    across = Scale(steps[0], max(steps[-1], steps[0] + 1), x + 64, x + 410)
    up = Scale(low - pad if low else 0.0, high + pad, y + 146, y + 34)
    drawing.axes(across, up, "", {})
    drawing.text(x + 16, y + 20, SCALARS[tag], "bold")
    drawing.text(x + 410, y + 20, f"last {score_text(values[-1])}", "soft", "end")
    look, count = f'stroke="{colour}" stroke-width="2"', min(len(steps), 60)
    if count < len(steps):  # what was logged stays visible behind the means that the eye can follow
        drawing.line([(across(step), up(value)) for step, value in points], f'stroke="{colour}" opacity=".3"')
    means = zip(np.array_split(steps, count), np.array_split(values, count), strict=True)
    drawing.line([(across(some.mean()), up(those.mean())) for some, those in means], look)


def _histogram(drawing: Drawing, x: float, y: float, name: str, values: np.ndarray, colour: str) -> None:
    if not len(values):
        return
    low, high = float(values.min()), float(values.max())
    pad = 0.0 if high > low else 0.5 * max(1.0, abs(low))
    counts, edges = np.histogram(values, min(BINS, max(4, len(values) // 2)), (low - pad, high + pad))
    across, up = Scale(low - pad, high + pad, x + 64, x + 410), Scale(0.0, float(counts.max()), y + 126, y + 24)
    for tick in (tick for tick in up.ticks(4) if tick == int(tick)):
        drawing.line([(across.start, up(tick)), (across.end, up(tick))], 'class="grid"')
        drawing.text(across.start - 8, up(tick) + 4, number_text(tick, "z,.6g"), "soft", "end")
    for tick in across.ticks(5):
        drawing.text(across(tick), up.start + 18, number_text(tick, "z,.6g"), "soft", "middle")
    for count, start, end in zip(counts, edges, edges[1:], strict=False):
        shape = f'x="{across(start) + 0.5:.1f}" y="{up(count)}" width="{max(across(end) - across(start) - 1, 0.5):.1f}"'
        shape += f' height="{up(0.0) - up(count):.1f}"'
        drawing.parts.append(f'<rect {shape} fill="{colour}" fill-opacity=".8"/>')
    drawing.text(across.end, y + 12, f"{name}: mean {score_text(values.mean())}", "soft", "end")


def newest_rows(rows: list[ScoreRow]) -> list[ScoreRow]:
    """The newest row of each task, suite by suite."""
    return sorted({row.task: row for row in rows}.values(), key=lambda row: row.suite)


def _looks(rows: list[ScoreRow]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each task, the same in every chart."""
    return dict(zip((row.task for row in newest_rows(rows)), cycle(LOOKS), strict=False))


def interval_of(row: ScoreRow) -> tuple[float, float, float] | None:
    """Fraction, low and high; None where the fraction is undefined."""
    value, low, high = (math.nan if v is None else v for v in (row.fraction, row.ci_low, row.ci_high))
    return (value, low, high) if math.isfinite(value + low + high) else None


def fraction_range(rows: list[ScoreRow]) -> tuple[float, float]:
    """One task at −30 must not flatten all others: the axis shows −1 … 2 at most, and 0 … 1 at least."""
    values = [value for row in rows for value in interval_of(row) or ()]
    return max(-1.0, min([0.0, *values]) - 0.04), min(2.0, max([1.0, *values]) + 0.04)


def _name(row: ScoreRow) -> str:
    return shorten(row.task.removeprefix(f"{row.suite}/"))
