"""The picture of a few-shot experiment: a standalone SVG, from strings alone."""

import math

import numpy as np

from gato_dist.plots.drawing import LOOKS, WIDTH, Drawing, Scale, number_text

LEFT, RIGHT, TOP, BOTTOM = 84.0, WIDTH - 150.0, 52.0, 372.0


def few_shot_svg(task: str, curves: dict[str, dict[int, list[float]]]) -> str:
    """Fraction against the number of episodes, on a logarithmic axis.

    curves: by name, fractions of each series by number of episodes ≥ 1. A line goes through their means, a band holds
    the least and the most, and every series is a dot. The upright axis shows −1 … 2 at most.
    """
    drawing = Drawing()
    sizes = sorted({size for curve in curves.values() for size in curve}) or [1]
    values = [value for curve in curves.values() for some in curve.values() for value in some]
    low, high = math.log(sizes[0]), math.log(sizes[-1])
    across = Scale(low, high if high > low else low + 1.0, LEFT + 12, RIGHT)
    up = Scale(max(-1.0, min([0.0, *values]) - 0.04), min(2.0, max([1.0, *values]) + 0.04), BOTTOM, TOP)
    for tick in up.ticks():
        drawing.line([(LEFT, up(tick)), (RIGHT, up(tick))], 'class="grid"')
        named = {0.0: "random ", 1.0: "expert "}.get(tick, "")
        drawing.text(LEFT - 8, up(tick) + 4, named + number_text(tick, "z.6g"), "soft", "end")
    for size in sizes:
        drawing.text(across(math.log(size)), BOTTOM + 18, f"{size:,}", "soft", "middle")
    drawing.text((LEFT + RIGHT) / 2, BOTTOM + 37, "episodes to learn from", "soft", "middle")
    for value in (0.0, 1.0):
        drawing.line([(LEFT, up(value)), (RIGHT, up(value))], 'class="dotted"')
    for place, ((name, curve), (colour, _)) in enumerate(zip(curves.items(), LOOKS, strict=False)):
        _curve(drawing, {across(math.log(size)): curve[size] for size in sorted(curve)}, up, colour)
        drawing.line([(RIGHT + 14, TOP + 8 + 22 * place), (RIGHT + 36, TOP + 8 + 22 * place)], f'stroke="{colour}"')
        drawing.text(RIGHT + 42, TOP + 12 + 22 * place, name)
    return drawing.svg(int(BOTTOM) + 50, f"{task}: expert-score fraction by number of episodes")


def _curve(drawing: Drawing, points: dict[float, list[float]], up: Scale, colour: str) -> None:
    edge = [(x, up(min(some))) for x, some in points.items()]
    edge += [(x, up(max(some))) for x, some in reversed(points.items())]
    band = " ".join(f"{x},{y}" for x, y in edge)
    drawing.parts.append(f'<polygon points="{band}" fill="{colour}" fill-opacity=".12"/>')
    drawing.line([(x, up(float(np.mean(some)))) for x, some in points.items()], f'stroke="{colour}" stroke-width="2"')
    for x, some in points.items():
        drawing.parts += [f'<circle cx="{x}" cy="{up(value)}" r="3" fill="{colour}"/>' for value in some]
