"""The parts of report.html that tell at a glance: figures in tiles, how scores were measured, the mean's curve."""

from collections.abc import Sequence

from yaml import YAMLError, safe_load  # type: ignore[import-untyped]

from gato_dist.plots.charts import newest_rows
from gato_dist.plots.drawing import Points, escape, number_text
from gato_dist.plots.profiles import curves_svg
from gato_dist.records.cost import Cost
from gato_dist.records.quarantine import Quarantined
from gato_dist.scores.results import ALL_TASKS, TaskResult, aggregate
from gato_dist.scores.table import ScoreRow, mean_curve

TILE_STYLE = """.tiles{display:flex;flex-wrap:wrap;gap:10px;margin:16px 0} .tiles div{flex:1 1 150px;padding:10px 14px;
background:var(--paper);border:1px solid var(--grid);border-radius:8px} .tiles b{display:block;font-size:22px}
.tiles span{color:var(--soft);font-size:13px}"""


def tiles_html(rows: list[ScoreRow], results: Sequence[TaskResult], cost: Cost | None) -> str:
    """What one wants to know first. rows: of scores.csv; results: of the newest of them."""
    fractions = [row.fraction for row in newest_rows(rows) if row.fraction is not None]
    tiles: list[tuple[str, str]] = []
    if fractions:
        whole = aggregate(ALL_TASKS, results) if len(results) == len(newest_rows(rows)) else None
        interval = f"; 95 % interval {_span(whole.mean.low, whole.mean.high)}" if whole and whole.mean else ""
        tiles.append((number_text(sum(fractions) / len(fractions)), f"mean expert-score fraction{interval}"))
        for limit in (0.5, 0.8):
            above = sum(fraction > limit for fraction in fractions)
            tiles.append((f"{above} of {len(fractions)}", f"tasks above a fraction of {limit}"))
        if whole and whole.success is not None:
            tiles.append((f"{whole.success:.0%}", f"success, over {whole.success_tasks} tasks that tell it"))
    if cost:
        tiles.append((short_count(cost.tokens), "tokens learned"))
        tiles.append((short_count(cost.env_steps), "environment steps of experts"))
        tiles.append((short_duration(cost.seconds), "wall time, start and evaluation included"))
    figures = "".join(f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in tiles)
    return f'<div class="tiles">{figures}</div>' if tiles else ""


def quarantine_html(out: Sequence[Quarantined]) -> str:
    """The tasks that were left out, and why; nothing where there is none."""
    lines = "".join(f"<li>{escape(str(each))}</li>" for each in out)
    note = "<p><b>Quarantined.</b> These tasks were left out before the run ended; their scores may be old:</p>"
    return f"<section>{note}<ul>{lines}</ul></section>" if out else ""


def measured_text(rows: list[ScoreRow], config: str) -> str:
    """How the newest scores came about, in a sentence or two. config: the run's YAML."""
    newest = newest_rows(rows)
    if not newest:
        return ""
    counts = sorted({row.episodes for row in newest})
    text = f"Each task was played {_range(counts)} times in worlds (seeds and, where a suite has them, levels) that no "
    text += f"expert shows{_manner(config)}."
    versions = sorted({row.weights_version for row in newest})
    if len(versions) > 1:
        text += f" Tasks take turns: their newest scores are of weights versions {versions[0]} to {versions[-1]}."
    return text


def mean_curve_html(rows: list[ScoreRow], results: Sequence[TaskResult]) -> str:
    """Mean fraction over all tasks by tokens learned; nothing with fewer than two points. results: of all versions."""
    tokens = {result.row.weights_version: result.tokens for result in results}
    points: Points = [
        (tokens[point.version], point.mean) for point in mean_curve(rows) if point.even and point.version in tokens
    ]
    if len(points) < 2:
        return ""
    return f"<section>{curves_svg([(ALL_TASKS, points)], 'tokens learned')}</section>"


def short_count(number: int) -> str:
    """Such as 281 thousand, or 1.3 billion."""
    for unit, name in ((10**9, "billion"), (10**6, "million"), (10**3, "thousand")):
        if number >= unit:
            return f"{number / unit:.3g} {name}" if number < 999.5 * unit else f"{number / unit:,.0f} {name}"
    return str(number)


def short_duration(seconds: float) -> str:
    """Minutes up to two hours, hours from there."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _manner(config: str) -> str:
    try:
        evaluation = safe_load(config)["evaluation"]
        heat, prompt = float(evaluation["temperature"]), int(evaluation["prompt_tokens"])
    except (YAMLError, KeyError, TypeError, ValueError):
        return ""
    chosen = "the likeliest action each time (greedy)" if not heat else f"actions sampled at temperature {heat:g}"
    return f", with {chosen} and " + (f"{prompt} tokens of a demonstration before" if prompt else "no demonstration")


def _range(counts: list[int]) -> str:
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def _span(low: float, high: float) -> str:
    return f"{number_text(low)} … {number_text(high)}"
