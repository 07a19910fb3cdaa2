"""The picture of a comparison: every task's fraction in each run, side by side; from strings alone."""

from collections.abc import Sequence

from gato_dist.plots.charts import fraction_range, interval_of
from gato_dist.plots.drawing import LOOKS, WIDTH, Drawing, Scale, number_text, shorten
from gato_dist.scores.table import ScoreRow

BAR, GAP, TOP = 13, 10, 76


def side_by_side_svg(runs: Sequence[tuple[str, dict[str, ScoreRow], dict[str, float | None]]]) -> str:
    """A standalone SVG: a bar for each task and run, with its 95 % interval, and its success rate beside.

    runs: name; newest row by task; share of episodes with success by task, None or missing where none is reported.
    Tasks are the first run's. The axis shows −1 … 2 at most; an undefined fraction reads 'no expert', no row '–'.
    """
    drawing, tasks = Drawing(), list(runs[0][1])
    height = BAR * len(runs) + GAP
    bottom = TOP + height * len(tasks)
    left = 36 + 7.2 * max(len(shorten(task)) for task in tasks)
    low, high = fraction_range([row for _, rows, _ in runs for row in rows.values()])
    scale = Scale(low, high, left, WIDTH - 150)
    for tick in scale.ticks():
        drawing.line([(scale(tick), TOP), (scale(tick), bottom)], 'class="grid"')
        drawing.text(scale(tick), bottom + 18, number_text(tick, "z.6g"), "soft", "middle")
    for place, task in enumerate(tasks):
        y = TOP + GAP / 2 + place * height
        drawing.text(16, y + height / 2, shorten(task))
        for line, (_, rows, successes) in enumerate(runs):
            colour = LOOKS[line % len(LOOKS)][0]
            _bar(drawing, scale, y + BAR * line, rows.get(task), successes.get(task), colour)
    for value, name in ((0.0, "random"), (1.0, "expert")):
        drawing.line([(scale(value), TOP - 4), (scale(value), bottom)], 'class="dotted"')
        drawing.text(scale(value), TOP - 8, name, "soft", "middle")
    x = 16.0
    for line, (name, _, _) in enumerate(runs):
        drawing.parts.append(f'<rect x="{x}" y="36" width="12" height="12" fill="{LOOKS[line % len(LOOKS)][0]}"/>')
        drawing.text(x + 18, 47, shorten(name))
        x += 40 + 7.4 * len(shorten(name))
    return drawing.svg(bottom + 32, "Expert-score fraction with 95 % intervals, and success")


def _bar(drawing: Drawing, scale: Scale, y: float, row: ScoreRow | None, success: float | None, colour: str) -> None:
    """y: the bar's upper edge."""
    measured = interval_of(row) if row else None
    if measured is None:
        drawing.text(scale(0.0) + 6, y + BAR - 2, "no expert" if row else "–", "soft")
        return
    zero, middle = scale(0.0), y + BAR / 2
    x, start, end = (scale(value) for value in measured)
    shape = f'x="{min(x, zero)}" y="{y + 1}" width="{abs(x - zero):.1f}" height="{BAR - 2}"'
    drawing.parts.append(f'<rect {shape} fill="{colour}" fill-opacity=".75"/>')
    drawing.line([(start, middle), (end, middle)], 'class="whisker"')
    told = "" if success is None else f", {success:.0%} success"
    drawing.text(WIDTH - 16, y + BAR - 2, number_text(measured[0]) + told, "soft", "end")
