"""What an evaluation found, as tables on a terminal of any width."""

from gato_dist.scores.bootstrap import Estimate
from gato_dist.scores.results import Aggregate, TaskResult, human_sources
from gato_dist.scores.table import fraction_text, interval_text
from gato_dist.utils.console import NamedTable, value_text


def result_table(results: list[TaskResult], title: str = "expert-score fraction") -> NamedTable:
    """Scores of every task: random, expert, Gato, fraction and interval; success and human-normalised score if any."""
    success = any(result.success is not None for result in results)
    human = any(result.human_normalised is not None for result in results)
    head = ["task", "episodes", "random", "expert", "gato", "± s.e.", "fraction", "95 % interval"]
    rows = []
    for result in results:
        row = result.row
        numbers = [value_text(value, ",.2f") for value in (row.random, row.expert, row.mean, result.standard_error)]
        more = [value_text(result.success, ".0%")] * success + [value_text(result.human_normalised, ".2f")] * human
        rows.append([row.task, str(row.episodes), *numbers, fraction_text(row), interval_text(row), *more])
    return NamedTable(
        [*head, *["success"] * success, *["human-norm."] * human],
        rows,
        title,
        f"human-norm.: by random and human scores as {human_sources(results)} has them" if human else None,
        ("± s.e.", "episodes", "human-norm.", "random", "expert", "success", "95 % interval", "gato"),
    )


def aggregate_table(aggregates: list[Aggregate]) -> NamedTable:
    """A line for each suite and for all tasks; below, the tasks that are left out."""
    success = any(each.success is not None for each in aggregates)
    human = any(each.human_tasks for each in aggregates)
    head = ["suite", "tasks", "mean fraction", "interquartile mean", "> 50 %", "> 80 %"]
    rows = []
    for each in aggregates:
        more = [value_text(each.success, ".0%")] * success
        norm = f"{value_text(each.human_mean, '.2f')} ({value_text(each.human_median, '.2f')})"
        cells = [_estimate(each.mean), _estimate(each.iqm), str(each.above_50), str(each.above_80)]
        rows.append([each.name, str(each.tasks), *cells, *more, *[norm if each.human_tasks else "–"] * human])
    missing = dict.fromkeys(task for each in aggregates for task in each.without_expert)
    return NamedTable(
        [*head, *["success"] * success, *["human-norm. (median)"] * human],
        rows,
        "over tasks with a valid expert, with 95 % intervals",
        f"left out, without a valid expert: {', '.join(missing)}" if missing else None,
        ("human-norm. (median)", "success", "> 80 %", "> 50 %", "interquartile mean", "tasks"),
    )


def _estimate(estimate: Estimate | None) -> str:
    return f"{estimate.value:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]" if estimate else "–"
