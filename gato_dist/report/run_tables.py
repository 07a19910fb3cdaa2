"""The tables of report.html."""

from collections import Counter
from collections.abc import Sequence

from gato_dist.plots.score_rows import measured_interval, newest_rows
from gato_dist.plots.text import interval_text, number_text, plural, score_text
from gato_dist.records.cost import Cost
from gato_dist.records.usage import gato_episodes, histogram, sequences_by_task
from gato_dist.report.pages import Table
from gato_dist.scores.bootstrap import Estimate
from gato_dist.scores.results import TaskResult, aggregates
from gato_dist.scores.table import ScoreRow
from gato_dist.sources import Source
from replay.usage import BINS, bin_name

# Head of a column of Gato's episodes → their kind in usage.json.
EPISODE_KINDS = {"Gato's episodes": "episodes", "Imitated": "imitated", "Expert acted": "led", "Dropped": "dropped"}
HISTOGRAMS = {
    "reuse": "Times a sequence was drawn, this draw included",
    "lag": "Weights versions behind the learner's",
}


def score_table(rows: Sequence[ScoreRow], results: Sequence[TaskResult]) -> Table:
    """Returns the newest scores of every task.

    Args:
        rows: all rows of scores.csv.
        results: the results of the newest rows, as far as they were kept.
    """
    kept = {result.row.task: result for result in results}
    success = any(result.success is not None for result in results)
    human = any(result.human_normalised is not None for result in results)
    head = ["Task", "Random", "Expert", "Gato, mean ± s.e.", "Fraction", "95 % interval", "Episodes"]
    table_rows = []
    for row in newest_rows(rows):
        result = kept.get(row.task)
        gato = f"{score_text(row.mean)} ± {score_text(result.standard_error if result else None)}"
        cells = [row.task, score_text(row.random), score_text(row.expert), gato, *_fraction_cells(row)]
        cells += [str(row.episodes)]
        cells += [percent_text(result.success if result else None)] * success
        cells += [number_text(result.human_normalised if result else None)] * human
        table_rows.append(cells)
    return Table([*head, *["Success"] * success, *["Human-normalised"] * human], table_rows)


def aggregate_table(results: Sequence[TaskResult]) -> Table:
    """Returns the aggregates of each suite and of all tasks.

    Args:
        results: one result per task.
    """
    found = aggregates(results)
    success = any(each.success is not None for each in found)
    human = any(each.human_mean is not None for each in found)
    head = ["Suite", "Tasks", "Mean fraction", "Interquartile mean", "Above 50 %", "Above 80 %"]
    rows = []
    for each in found:
        cells = [each.name, str(each.tasks), estimate_text(each.mean), estimate_text(each.iqm)]
        cells += [f"{each.above_50} of {each.tasks}", f"{each.above_80} of {each.tasks}"]
        cells += [percent_text(each.success)] * success
        norm = f"{number_text(each.human_mean)} ({number_text(each.human_median)})" if each.human_tasks else "–"
        rows.append([*cells, *[norm] * human])
    return Table([*head, *["Success"] * success, *["Human-normalised, mean (median)"] * human], rows)


def cost_table(cost: Cost) -> Table:
    """Returns what a run took over all of its starts, and the versions that it ran with."""
    rows = [
        ["Environment steps of actors", f"{cost.env_steps:,}"],
        ["Tokens learned", f"{cost.tokens:,}"],
        ["Training", duration_text(cost.training_seconds)],
        ["Wall time, evaluation included", f"{duration_text(cost.seconds)}, in {plural(cost.starts, 'start')}"],
        ["Energy", "not measured on this machine" if cost.kwh is None else f"{cost.kwh:.3g} kWh (processors only)"],
        ["Hardware of the driver", cost.hardware],
        ["Versions", ", ".join(f"{name} {version}" for name, version in cost.versions.items())],
    ]
    return Table(["What", "How much"], rows, text=True)


def source_table(usage: Counter[str]) -> Table | None:
    """Returns the sequences that were learned from, by task and source; None if they were not counted.

    Args:
        usage: counters of usage.json.
    """
    by_source = {source: sequences_by_task(usage, source) for source in Source}
    tasks = dict.fromkeys(task for counts in by_source.values() for task in counts)
    if not tasks:
        return None
    kinds = EPISODE_KINDS if gato_episodes(usage, "episodes") else {}
    rows = []
    for task in tasks:
        counts = [of_source.get(task, 0) for of_source in by_source.values()]
        sequences = [f"{count:,} ({count / max(sum(counts), 1):.0%})" for count in counts]
        rows.append([task, *sequences, *(f"{gato_episodes(usage, kind).get(task, 0):,}" for kind in kinds.values())])
    return Table(["Task", "Demonstrations", "Relabelled", "Gato's own", *kinds], rows)


def replay_histograms(usage: Counter[str]) -> dict[str, list[tuple[str, int]]]:
    """Returns histograms of the sequences' age and reuse: by title, (name of the bin, count) of each bin."""
    return {
        title: [(bin_name(index), counts.get(index, 0)) for index in range(BINS)]
        for name, title in HISTOGRAMS.items()
        if (counts := histogram(usage, name))
    }


def estimate_text(estimate: Estimate | None) -> str:
    """Returns a value and its interval, such as "0.50 [0.40, 0.60]"; a dash for None."""
    return interval_text(estimate.value, estimate.low, estimate.high) if estimate else "–"


def duration_text(seconds: float) -> str:
    """Returns hours and minutes, or minutes and seconds below one hour."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min {rest} s"


def percent_text(share: float | None) -> str:
    """Returns a share in percent; a dash for None."""
    return "–" if share is None else f"{share:.0%}"


def _fraction_cells(row: ScoreRow) -> tuple[str, str]:
    measured = measured_interval(row)
    if measured is None:
        return "no expert", "–"
    value, low, high = (number_text(number) for number in measured)
    return value, f"{low} … {high}"
