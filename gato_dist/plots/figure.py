"""What all pictures share: style, colours, layout in points, and rendering as SVG or pixels.

matplotlib is imported inside functions, so that importing these modules stays cheap. pyplot is never used.
"""

import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from itertools import cycle
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from gato_dist.envs.matplotlib_cache import set_matplotlib_cache
from gato_dist.plots.score_rows import newest_rows
from gato_dist.plots.text import number_text
from gato_dist.scores.table import ScoreRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Points = Sequence[tuple[float, float]]
Parameters = ParamSpec("Parameters")

WIDTH = 645.0  # points; 860 pixels on a page
EDGE = 12.0  # between a picture's edge and its contents, in points
LABEL_GAP = 13.0  # between the baselines of two labels, in points
# report/templates/style.css replaces the first four on dark pages.
INK, SOFT, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#ffffff"
# The Okabe-Ito colours, which colour-blind readers can distinguish, without the two that disappear on white or black.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ((0, ()), (0, (4, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
LINE_STYLES: list[dict[str, Any]] = [{"color": colour, "linestyle": dashes} for dashes in DASHES for colour in PALETTE]
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    # matplotlib ships the first, and measures text with it; a browser without it takes one of the next.
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Segoe UI", "Helvetica", "Arial"],
    "font.size": 9.5,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a task's name is a dollar sign
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 9.0,
    "axes.titlelocation": "left",
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": GRID,
    "xtick.labelcolor": SOFT,
    "xtick.labelsize": 9.0,
    "xtick.major.size": 0.0,
    "ytick.color": GRID,
    "ytick.labelcolor": SOFT,
    "ytick.labelsize": 9.0,
    "ytick.major.size": 0.0,
    "lines.linewidth": 1.5,
    "lines.markersize": 3.5,
    "legend.frameon": False,
    "legend.borderpad": 0.0,
    "legend.borderaxespad": 0.0,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "gato_dist",  # equal pictures get equal ids, and so equal bytes
}


@contextmanager
def chart_style() -> Iterator[None]:
    """Applies the project's style, independently of the user's matplotlibrc, while the context is open."""
    set_matplotlib_cache()
    import matplotlib.style

    with matplotlib.style.context(["default", STYLE]):
        yield


def styled(draw: "Callable[Parameters, Figure]") -> "Callable[Parameters, Figure]":
    """Decorates a function that draws a figure: the function runs in the project's style."""

    @wraps(draw)
    def draw_in_style(*args: Parameters.args, **kwargs: Parameters.kwargs) -> "Figure":
        with chart_style():
            return draw(*args, **kwargs)

    return draw_in_style


def new_figure(height: float, title: str, width: float = WIDTH) -> "Figure":
    """Returns an empty figure with a title in its upper left corner.

    Args:
        height: height in points.
        title: also the SVG's accessible title.
        width: width in points.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72), dpi=72)
    at = {"x": EDGE / width, "y": 1 - EDGE / height, "ha": "left", "va": "top"}
    figure.suptitle(title, size=11.5, weight="bold", **at)
    return figure


def add_axes(figure: "Figure", *, left: float, right: float, top: float, bottom: float) -> "Axes":
    """Adds axes with these margins in points.

    Args:
        figure: the figure to add them to.
        left: distance of the plotting area from the figure's left edge; `right`, `top` and `bottom` likewise.
    """
    width, height = figure.get_size_inches() * 72
    return figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height))


def task_styles(rows: Iterable[ScoreRow]) -> dict[str, dict[str, Any]]:
    """Returns the colour and dashes of each task, the same in every picture of a run.

    Args:
        rows: rows of scores.csv in the order of the file.
    """
    return dict(zip((row.task for row in newest_rows(rows)), cycle(LINE_STYLES), strict=False))


def text_width(texts: Sequence[str], size: float = 9.5) -> float:
    """Returns the width of the widest of these texts, in points; 0 without texts.

    Args:
        texts: single lines.
        size: font size in points.
    """
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size)
    with _without_glyph_warnings():
        return max((text_to_path.get_text_width_height_descent(text, font, False)[0] for text in texts), default=0.0)


def mark_random_and_expert(axes: "Axes", *, vertical: bool) -> None:
    """Draws dotted lines at the fractions of the random policy, 0, and of the expert, 1, and names them.

    Args:
        axes: axes with an axis of expert-score fractions.
        vertical: whether the vertical axis is the one of fractions.
    """
    line = axes.axhline if vertical else axes.axvline
    for value, name in ((0.0, "random"), (1.0, "expert")):
        line(value, color=SOFT, linewidth=1.0, linestyle=(0, (1, 2.5)))
        if not vertical:
            axes.annotate(
                name, (value, 1), xycoords=axes.get_xaxis_transform(), xytext=(0, 4), textcoords="offset points",
                ha="center", color=SOFT, size=9.0,
            )  # fmt: skip
    if vertical:
        names = {0.0: "random ", 1.0: "expert "}
        axes.yaxis.set_major_formatter(lambda tick, _: names.get(round(tick, 6), "") + number_text(tick, "z.6g"))


def label_line_ends(figure: "Figure", axes: "Axes", ends: Sequence[tuple[float, float, str, str]]) -> None:
    """Names lines at their right ends; labels are moved up or down so that none covers another.

    Args:
        figure: the figure of the axes.
        axes: axes with final limits, and with room for the labels to their right.
        ends: (x, y, colour, label) of each line's last point.
    """
    from matplotlib.transforms import offset_copy

    low, high = axes.get_ylim()
    height = axes.get_position().height * figure.get_size_inches()[1] * 72
    ordered = sorted(ends, key=lambda end: end[1])
    places = spread([y for _, y, _, _ in ordered], gap=LABEL_GAP * (high - low) / height, low=low, high=high)
    beside = offset_copy(axes.get_yaxis_transform(), figure, x=16, units="points")
    leader = {"arrowstyle": "-", "linewidth": 0.8, "linestyle": ":", "shrinkA": 0, "shrinkB": 3, "relpos": (0, 0.5)}
    for (x, y, colour, label), place in zip(ordered, places, strict=True):
        axes.annotate(
            label, (x, y), xytext=(1, place), textcoords=beside, va="center", annotation_clip=False,
            arrowprops=leader | {"color": colour},
        )  # fmt: skip


def spread(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Returns positions near the wanted ones, at least `gap` apart and within `low` … `high` if all of them fit.

    Args:
        wanted: positions in ascending order.
        gap: least distance between two positions.
        low: least position.
        high: greatest position.
    """
    placed: list[float] = []
    for position in wanted:
        placed.append(max(position, placed[-1] + gap if placed else low))
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], placed[i + 1] - gap if i + 1 < len(placed) else high)
    return placed


def to_svg(figure: "Figure") -> str:
    """Returns a figure as an SVG element: without XML prolog, date or duplicate ids, fit for a file and for a page."""
    file = io.StringIO()
    title = figure.get_suptitle()
    metadata = {"Title": title, "Date": None, "Creator": None, "Format": None, "Type": None}
    with chart_style(), _without_glyph_warnings():
        figure.savefig(file, format="svg", metadata=metadata)
    svg = file.getvalue()
    svg = svg[svg.index("<svg ") :].replace("<svg ", '<svg role="img" ', 1)
    svg = re.sub(r" *<metadata>.*?</metadata>\n", "", svg, count=1, flags=re.DOTALL)
    # Groups are numbered from 1 in every picture, and nothing refers to them.
    return re.sub(r'<g id="[^"]*">', "<g>", svg)


def to_pixels(figure: "Figure") -> np.ndarray:
    """Returns a figure as pixels: uint8 [height, width, 3], at one pixel per point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    with chart_style(), _without_glyph_warnings():
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@contextmanager
def _without_glyph_warnings() -> Iterator[None]:
    """A name may have characters that matplotlib's font lacks; the browser has other fonts."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+", category=UserWarning)
        yield
