"""What pictures and pages select from the rows of scores.csv."""

import math
from collections.abc import Iterable, Sequence

from gato_dist.scores.table import ScoreRow


def newest_rows(rows: Iterable[ScoreRow]) -> list[ScoreRow]:
    """Returns each task's last row, grouped by suite in alphabetical order.

    Args:
        rows: rows in the order of the file.
    """
    return sorted({row.task: row for row in rows}.values(), key=lambda row: row.suite)


def measured_interval(row: ScoreRow) -> tuple[float, float, float] | None:
    """Returns a row's fraction and the ends of its interval: (fraction, low, high); None if they are undefined."""
    value, low, high = (math.nan if number is None else number for number in (row.fraction, row.ci_low, row.ci_high))
    return (value, low, high) if math.isfinite(value + low + high) else None


def interval_range(rows: Iterable[ScoreRow]) -> tuple[float, float]:
    """Returns the axis limits that show every interval of these rows, as `fraction_range` bounds them."""
    return fraction_range([value for row in rows for value in measured_interval(row) or ()])


def fraction_range(fractions: Sequence[float]) -> tuple[float, float]:
    """Returns the limits of an axis of expert-score fractions: at least 0 … 1, at most −1 … 2.

    The upper bound keeps one task with a fraction of −30 from flattening all others.
    """
    return max(-1.0, min([0.0, *fractions]) - 0.04), min(2.0, max([1.0, *fractions]) + 0.04)
