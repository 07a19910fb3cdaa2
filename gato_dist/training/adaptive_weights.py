"""More of the learner's sequences to tasks that lag behind their experts and still gain.

After the two signals of Data-Efficient Multitask DAgger (Fu et al. 2025, arXiv 2509.25466), a task's need and its gain,
each from a Kalman filter over the measured scores. How they are put together here is simpler than there.
"""

from collections.abc import Sequence
from math import sqrt

from gato_dist.scores.table import ScoreRow

DRIFT = 0.1  # standard deviation of a task's true fraction from one measurement to the next
LEAST_ERROR = 0.02  # standard error below which no measurement is believed to be


def factors(rows: Sequence[ScoreRow], weights: dict[str, float], floor: float) -> dict[str, float]:
    """By which each task's weight is multiplied, so that the weights' sum stays.

    rows: of scores.csv, oldest first: nothing else is remembered. weights: by task. Before all are scaled, a task gets
    floor + (1 − floor) · need · (1 + gain / most gain) / 2. need is 1 − level, from 0 to 1; gain is how the filtered
    level rose lately, 0 where it fell. A task that was measured less than twice counts as gaining most; one without a
    valid expert, or not measured yet, keeps its own weight.
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
    """A task's fraction and how it rose lately, filtered; None where it is undefined, or measured too seldom."""
    level, gain, variance = None, None, 0.0
    for row in rows:
        if row.fraction is None:
            return None, None
        error = max(row.std / sqrt(row.episodes) / abs(row.expert - row.random), LEAST_ERROR) ** 2
        if level is None:
            level, variance = row.fraction, error
            continue
        variance += DRIFT**2
        weight = variance / (variance + error)
        rise = weight * (row.fraction - level)
        level, variance = level + rise, (1.0 - weight) * variance
        gain = max(rise if gain is None else 0.5 * (gain + rise), 0.0)
    return level, gain
