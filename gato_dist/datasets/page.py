"""What a dataset holds on one page that needs nothing else: no network, no script, no font file."""

from pathlib import Path

from gato_dist.errors import InputError
from gato_dist.plots.charts import distributions_svg
from gato_dist.plots.drawing import escape, score_text
from gato_dist.report.run_page import STYLE
from replay.dataset.dataset import Dataset
from replay.dataset.storage import Location
from replay.dataset.summary import TaskSummary, summarize


def write_page(dataset: Dataset, file: Path) -> None:
    """Writes `file`, over an older one, whole or not at all. Raises InputError where there is no episode to show."""
    tasks = summarize(dataset)
    if not tasks:
        raise InputError(f"{dataset.root}: holds no episode to draw")
    Location.of(file).write_text(make_page(dataset.root.absolute().name, tasks))


def make_page(name: str, tasks: list[TaskSummary]) -> str:
    episodes, steps = sum(task.statistics.episodes for task in tasks), sum(task.statistics.steps for task in tasks)
    said = f"{episodes:,} episodes, {steps:,} steps, {sum(task.statistics.bytes for task in tasks) / 1e6:,.1f} MB"
    charts = distributions_svg([(task.spec.name, task.returns, task.lengths) for task in tasks])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(name)} · gato_dist dataset</title><style>{STYLE}</style></head><body><main>
<small>gato_dist: a dataset</small><h1>{escape(name)}</h1><p>{escape(said)}</p>
<h2>Tasks</h2><section>{_table(tasks)}</section>
<h2>Episodes</h2><section>{charts}</section>
</main></body></html>
"""


def _table(tasks: list[TaskSummary]) -> str:
    head = ("Task", "Policy", "Episodes", "Steps", "Return, mean ± std", "From … to", "Success", "Bytes a step")
    lines = ["<tr>" + "".join(f"<th>{name}</th>" for name in head) + "</tr>"]
    for task in tasks:
        known = task.statistics
        cells = (
            task.spec.name, ", ".join(task.policies), f"{known.episodes:,}", f"{known.steps:,}",
            f"{score_text(known.return_mean)} ± {score_text(known.return_std)}",
            f"{score_text(known.return_min)} … {score_text(known.return_max)}",
            "–" if known.success is None else f"{known.success:.0%}", f"{known.bytes / known.steps:,.0f}",
        )  # fmt: skip
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return "<table>" + "\n".join(lines) + "</table>"
