"""Score rows for the tests of charts, and what a drawn figure shows."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from gato_dist.scores.table import ScoreRow

HOSTILE = 'ale/<script>alert("x")</script>&amp;$x$'


def row(task: str = "ale/boxing", fraction: float | None = 0.5, *, spread: float = 0.1, step: int = 100) -> ScoreRow:
    low, high = (None, None) if fraction is None else (fraction - spread, fraction + spread)
    return ScoreRow(
        step=step, weights_version=step // 100, task=task, suite=task.split("/")[0], episodes=8, random=0.0,
        expert=10.0, mean=5.0, std=1.0, fraction=fraction, ci_low=low, ci_high=high,
    )  # fmt: skip


def only_axes(figure: Figure) -> Axes:
    (axes,) = figure.axes
    return axes


def texts(figure: Figure) -> list[str]:
    """Every text of a figure that is not empty, in the order of drawing."""
    return [text.get_text() for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
