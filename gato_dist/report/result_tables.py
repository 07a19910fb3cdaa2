"""The tables that an evaluation prints: scores of every task, and aggregates over suites."""

from collections.abc import Sequence

from gato_dist.scores.bootstrap import Estimate
from gato_dist.scores.results import Aggregate, TaskResult, human_sources
from gato_dist.scores.table import fraction_text, interval_text
from gato_dist.utils.console import NamedTable, value_text


def result_table(results: Sequence[TaskResult], title: str = "expert-score fraction") -> NamedTable:
    """Returns the scores of every task: random, expert, Gato, fraction and interval.

    Columns for success and human-normalised scores are present if a task has them.

    Args:
        results: one result per task.
        title: the table's title.
    """
    success = any(result.success is not None for result in results)
    human = any(result.human_normalised is not None for result in results)
    head = ["task", "episodes", "random", "expert", "gato", "± s.e.", "fraction", "95 % interval"]
    rows = []
    for result in results:
        row = result.row
        numbers = [value_text(value, ",.2f") for value in (row.random, row.expert, row.mean, result.standard_error)]
        cells = [row.task, str(row.episodes), *numbers, fraction_text(row), interval_text(row)]
        cells += [value_text(result.success, ".0%")] * success
        cells += [value_text(result.human_normalised, ".2f")] * human
        rows.append(cells)
    return NamedTable(
        head=[*head, *["success"] * success, *["human-norm."] * human],
        rows=rows,
        title=title,
        caption=f"human-norm.: with the random and human scores of {human_sources(results)}" if human else None,
        drop=("± s.e.", "episodes", "human-norm.", "random", "expert", "success", "95 % interval", "gato"),
    )


def aggregate_table(aggregates: Sequence[Aggregate]) -> NamedTable:
    """Returns one row per aggregate; the caption names the tasks without a valid expert, which are left out.

    Args:
        aggregates: the aggregates of suites, and of all tasks.
    """
    success = any(each.success is not None for each in aggregates)
    human = any(each.human_tasks for each in aggregates)
    head = ["suite", "tasks", "mean fraction", "interquartile mean", "> 50 %", "> 80 %"]
    rows = []
    for each in aggregates:
        cells = [each.name, str(each.tasks), _estimate(each.mean), _estimate(each.iqm)]
        cells += [str(each.above_50), str(each.above_80)]
        cells += [value_text(each.success, ".0%")] * success
        norm = f"{value_text(each.human_mean, '.2f')} ({value_text(each.human_median, '.2f')})"
        rows.append([*cells, *[norm if each.human_tasks else "–"] * human])
    missing = dict.fromkeys(task for each in aggregates for task in each.without_expert)
    return NamedTable(
        head=[*head, *["success"] * success, *["human-norm. (median)"] * human],
        rows=rows,
        title="over tasks with a valid expert, with 95 % intervals",
        caption=f"left out, without a valid expert: {', '.join(missing)}" if missing else None,
        drop=("human-norm. (median)", "success", "> 80 %", "> 50 %", "interquartile mean", "tasks"),
    )


def _estimate(estimate: Estimate | None) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate else "–"
