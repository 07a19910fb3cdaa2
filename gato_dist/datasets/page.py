"""The page of a dataset: its tasks, and the distribution of their returns and lengths. It is self-contained."""

from collections.abc import Sequence
from pathlib import Path

from gato_dist.errors import InputError
from gato_dist.plots.panels import draw_distributions
from gato_dist.plots.text import score_text
from gato_dist.report.pages import Table, chart_markup, render_page
from replay.dataset.dataset import Dataset
from replay.dataset.storage import Location
from replay.dataset.summary import TaskSummary, summarize


def write_page(dataset: Dataset, file: Path) -> None:
    """Writes a dataset's page. An older page stays until the new one is complete.

    Args:
        dataset: the dataset to describe.
        file: the page's path.

    Raises:
        InputError: if the dataset has no episodes.
    """
    tasks = summarize(dataset)
    if not tasks:
        raise InputError(f"{dataset.root}: has no episodes to show")
    Location.of(file).write_text(make_page(dataset.root.absolute().name, tasks))


def make_page(name: str, tasks: Sequence[TaskSummary]) -> str:
    """Returns a dataset's page as HTML.

    Args:
        name: the dataset's name.
        tasks: summaries of its tasks, at least one.
    """
    episodes, steps = sum(task.statistics.episodes for task in tasks), sum(task.statistics.steps for task in tasks)
    megabytes = sum(task.statistics.bytes for task in tasks) / 1e6
    return render_page(
        "dataset.html",
        title=name,
        kind="dataset",
        summary=f"{episodes:,} episodes, {steps:,} steps, {megabytes:,.1f} MB",
        tasks=_task_table(tasks),
        distributions=chart_markup(draw_distributions([(t.spec.name, t.returns, t.lengths) for t in tasks])),
    )


def _task_table(tasks: Sequence[TaskSummary]) -> Table:
    head = ["Task", "Policy", "Episodes", "Steps", "Return, mean ± std", "From … to", "Success", "Bytes per step"]
    rows = []
    for task in tasks:
        known = task.statistics
        rows.append([
            task.spec.name, ", ".join(task.policies), f"{known.episodes:,}", f"{known.steps:,}",
            f"{score_text(known.return_mean)} ± {score_text(known.return_std)}",
            f"{score_text(known.return_min)} … {score_text(known.return_max)}",
            "–" if known.success is None else f"{known.success:.0%}", f"{known.bytes / known.steps:,.0f}",
        ])  # fmt: skip
    return Table(head, rows)
