"""Gives more of the learner's sequences to tasks that are far from their experts and still improve.

The two signals, need and gain, are those of Data-Efficient Multitask DAgger (Fu et al. 2025, arXiv 2509.25466). Each is
measured by a Kalman filter over the task's scores. How they are combined is simpler here.
"""

from collections.abc import Sequence
from math import sqrt

from gato_dist.scores.table import ScoreRow

DRIFT = 0.1  # standard deviation of the change of a task's true fraction between two scores
MIN_ERROR = 0.02  # smallest standard error that a score is trusted with


def factors(rows: Sequence[ScoreRow], weights: dict[str, float], floor: float) -> dict[str, float]:
    """Returns the factor on each task's weight. The sum of all weights stays the same.

    Before scaling, a task gets floor + (1 − floor) · need · (1 + gain / largest gain) / 2. Need is 1 − level, clipped
    to 0 … 1; gain is how much the filtered level rose lately, 0 if it fell. A task with fewer than two scores counts
    as gaining most. A task without a valid expert or without scores keeps its weight.

    Args:
        rows: the rows of scores.csv, oldest first. The factors depend on nothing else, so a resumed run has the same.
        weights: the configured weight of each task.
        floor: the smallest share of its weight that a task may be left with, before scaling.
    """
    found = {task: _level_and_gain([row for row in rows if row.task == task]) for task in weights}
    most = max((gain for _, gain in found.values() if gain), default=0.0)
    raw = {}
    for task, (level, gain) in found.items():
        if level is not None:
            need = min(max(1.0 - level, 0.0), 1.0)
            gains = 1.0 if gain is None else gain / most if most > 0 else 0.0
            raw[task] = floor + (1.0 - floor) * need * (1.0 + gains) / 2.0
    if not raw:
        return dict.fromkeys(weights, 1.0)
    mean = sum(weights[task] * value for task, value in raw.items()) / sum(weights[task] for task in raw)
    return {task: raw[task] / mean if mean > 0 and task in raw else 1.0 for task in weights}


def _level_and_gain(rows: list[ScoreRow]) -> tuple[float | None, float | None]:
    """Returns a task's filtered fraction and its filtered recent rise; None if undefined or scored too rarely."""
    level, gain, variance = None, None, 0.0
    for row in rows:
        if row.fraction is None:
            return None, None
        error = max(row.std / sqrt(row.episodes) / abs(row.expert - row.random), MIN_ERROR) ** 2
        if level is None:
            level, variance = row.fraction, error
            continue
        variance += DRIFT**2
        weight = variance / (variance + error)
        rise = weight * (row.fraction - level)
        level, variance = level + rise, (1.0 - weight) * variance
        gain = max(rise if gain is None else 0.5 * (gain + rise), 0.0)
    return level, gain
