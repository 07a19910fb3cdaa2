"""The top of report.html: key numbers, and sentences that summarise the run and how it was evaluated."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from yaml import YAMLError, safe_load

from gato_dist.plots.figure import Points
from gato_dist.plots.score_rows import measured_interval, newest_rows
from gato_dist.plots.text import number_text, plural
from gato_dist.records.cost import Cost
from gato_dist.scores.results import ALL_TASKS, TaskResult, aggregate
from gato_dist.scores.table import ScoreRow

CLEARLY_ABOVE_RANDOM = 0.2  # the fraction above which the summary counts tasks


class Tile(NamedTuple):
    """A key number at the top of the page, and what it is."""

    value: str
    name: str


def summary_sentence(rows: Sequence[ScoreRow], scalars: Mapping[str, Points]) -> str:
    """Returns the page's first sentence: mean fraction, tasks above random, weights version and learner steps.

    Args:
        rows: all rows of scores.csv.
        scalars: points by TensorBoard tag; those of the loss give the learner's steps.
    """
    measured = [interval for row in newest_rows(rows) if (interval := measured_interval(row))]
    steps = max([row.step for row in rows] + [int(step) for step, _ in scalars.get("learner/loss", ())], default=0)
    if not measured:
        return f"No fraction has been measured yet; the learner has taken {steps:,} steps."
    above = sum(low > CLEARLY_ABOVE_RANDOM for _, low, _ in measured)
    mean = number_text(float(np.mean([value for value, _, _ in measured])))
    version = max(row.weights_version for row in rows)
    return (
        f"The mean expert-score fraction is {mean} over {plural(len(measured), 'task')} with a valid expert; in {above}"
        f" of them the whole 95 % confidence interval lies above {CLEARLY_ABOVE_RANDOM}. The last evaluated weights are"
        f" version {version:,}, and the learner has taken {steps:,} steps."
    )


def tiles(rows: Sequence[ScoreRow], results: Sequence[TaskResult], cost: Cost | None) -> list[Tile]:
    """Returns the key numbers of a run: how well it plays, and what it cost.

    Args:
        rows: all rows of scores.csv.
        results: the results of each task's newest row, as far as they were kept.
        cost: what the run cost, if known.
    """
    return _score_tiles(newest_rows(rows), results) + (_cost_tiles(cost) if cost else [])


def measurement_sentence(rows: Sequence[ScoreRow], config: str) -> str:
    """Returns how the newest scores were measured, in a sentence or two; empty without scores.

    Args:
        rows: all rows of scores.csv.
        config: the run's config.yaml as text.
    """
    newest = newest_rows(rows)
    if not newest:
        return ""
    counts = sorted({row.episodes for row in newest})
    times = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    text = f"Each task was played {times} times on held-out seeds (and levels, if the suite has them), which no expert "
    text += f"demonstrates{_policy_settings(config)}."
    versions = sorted({row.weights_version for row in newest})
    if len(versions) > 1:
        text += (
            f" The tasks are evaluated in turn: their newest scores are of weights versions {versions[0]} to"
            f" {versions[-1]}."
        )
    return text


def short_count(number: int) -> str:
    """Returns a count with three significant digits, such as "281 thousand" or "1.3 billion"."""
    for unit, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if number >= unit:
            return f"{number / unit:.3g} {name}" if number < 999.5 * unit else f"{number / unit:,.0f} {name}"
    return str(number)


def short_duration(seconds: float) -> str:
    """Returns minutes, or hours from two hours on."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _score_tiles(newest: Sequence[ScoreRow], results: Sequence[TaskResult]) -> list[Tile]:
    fractions = [row.fraction for row in newest if row.fraction is not None]
    if not fractions:
        return []
    total = aggregate(ALL_TASKS, results) if len(results) == len(newest) else None
    interval = ""
    if total and total.mean:
        interval = f"; 95 % confidence interval {number_text(total.mean.low)} … {number_text(total.mean.high)}"
    found = [Tile(number_text(sum(fractions) / len(fractions)), f"mean expert-score fraction{interval}")]
    for limit in (0.5, 0.8):
        above = sum(fraction > limit for fraction in fractions)
        found.append(Tile(f"{above} of {len(fractions)}", f"tasks above a fraction of {limit}"))
    if total and total.success is not None:
        found.append(Tile(f"{total.success:.0%}", f"success rate, over {total.success_tasks} tasks that report it"))
    return found


def _cost_tiles(cost: Cost) -> list[Tile]:
    return [
        Tile(short_count(cost.tokens), "tokens learned"),
        Tile(short_count(cost.env_steps), "environment steps of actors"),
        Tile(short_duration(cost.seconds), "wall time, start and evaluation included"),
    ]


def _policy_settings(config: str) -> str:
    """How the evaluated policy chose its actions; empty if the config does not say."""
    try:
        evaluation = safe_load(config)["evaluation"]
        temperature, prompt = float(evaluation["temperature"]), int(evaluation["prompt_tokens"])
    except (YAMLError, KeyError, TypeError, ValueError):
        return ""
    chosen = f"actions sampled at temperature {temperature:g}" if temperature else "the likeliest action (greedy)"
    return f", with {chosen} and " + (f"a prompt of {prompt} demonstration tokens" if prompt else "no prompt")
