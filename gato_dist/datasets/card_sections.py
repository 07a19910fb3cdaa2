"""The sections of a dataset's card, in Markdown."""

import re
import shlex
from collections.abc import Iterable
from typing import Any

from gato_dist.specs import Modality
from replay.dataset.summary import TaskSummary

ROW_TEXT = (
    "A row is one step of an episode. Its columns are `episode`, `step`, one column for each part of the observation, "
    "`action` (the action that was taken), `target` (the expert's action, which differs from `action` if a disturbance "
    "or another policy acted) and `reward`. Tensors are stored row-major."
)
PROVENANCE_TEXT = (
    "The JSON file next to each Parquet file holds every episode's seed, policy, policy hash and package versions. "
    "`dataset.json` holds each task's expert and its options."
)


def inline(text: object) -> str:
    """Returns text that fits a line or a table cell of Markdown and is shown as it is, never read as markup."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(text).split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#|~!$])", r"\\\1", line)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(head)
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (names, ["---"] * len(names), *rows))


def opening(tasks: list[TaskSummary]) -> str:
    """Returns the first paragraph: how much the dataset holds, and where it comes from."""
    episodes, steps = (sum(getattr(task.statistics, name) for task in tasks) for name in ("episodes", "steps"))
    megabytes = sum(task.statistics.bytes for task in tasks) / 1e6
    return (
        f"{episodes:,} episodes, {steps:,} steps of {len(tasks)} task{'s' * (len(tasks) != 1)} ({megabytes:,.1f} MB): "
        "raw observations, actions and rewards, with the provenance of each episode. Made by gato_dist, after “A "
        "Generalist Agent” (Reed et al., 2022, [arXiv 2205.06175](https://arxiv.org/abs/2205.06175))."
    )


def task_table(tasks: list[TaskSummary]) -> str:
    """Returns a table with a line for each task: episodes, steps, returns, success, size and policy."""
    head = ("task", "episodes", "steps", "return, mean ± std", "from … to", "success", "bytes/step", "policy", "hash")
    rows = []
    for task in tasks:
        known = task.statistics
        rows.append((
            inline(task.spec.name), f"{known.episodes:,}", f"{known.steps:,}",
            f"{known.return_mean:.2f} ± {known.return_std:.2f}", f"{known.return_min:.2f} … {known.return_max:.2f}",
            "–" if known.success is None else f"{known.success:.0%}", f"{known.bytes / known.steps:.0f}",
            inline(", ".join(task.policies)), inline(", ".join(each or "–" for each in task.policies.values())),
        ))  # fmt: skip
    return _table(head, rows)


def making(settings: dict[str, Any], tasks: list[TaskSummary]) -> str:
    """Returns how the dataset was made: command, policy, seed, dates and versions.

    Args:
        settings: from dataset.json.
        tasks: the tasks' summaries.
    """
    days = sorted(day for task in tasks for day in task.days)
    facts = {
        "command": settings.get("made") or _collect_command(settings),
        "policy": settings["policy"],
        "checkpoint": (settings["checkpoint"] or {}).get("sha256"),
        "seed": settings["seed"],
        "minimum expert-score fraction": settings["min_fraction"],
        "played": f"{days[0]} to {days[-1]}" if days else "",
        "versions": _versions(tasks),
    }
    lines = [f"- {name}: {inline(value)}" for name, value in facts.items() if value not in (None, "")]
    return "\n".join([*lines, "", PROVENANCE_TEXT])


def _versions(tasks: list[TaskSummary]) -> str:
    versions: dict[str, set[str]] = {}
    for task in tasks:
        for package, found in task.versions.items():
            versions.setdefault(package, set()).update(found)
    return ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(versions.items()))


def _collect_command(settings: dict[str, Any]) -> str:
    arguments = ["gato-dist", "collect", "--tasks", ",".join({**settings["episodes"], **settings["steps"]})]
    for key in ("episodes", "steps"):
        if settings[key]:
            arguments += [f"--{key}", str(max(settings[key].values()))]
    policy = (settings["checkpoint"] or {}).get("name") or settings["policy"]
    arguments += ["--policy", str(policy), "--seed", str(settings["seed"])]
    if settings["min_fraction"] is not None:
        arguments += ["--min-fraction", str(settings["min_fraction"])]
    return shlex.join(arguments)


def row_layout(tasks: list[TaskSummary]) -> str:
    """Returns what a row of the Parquet files holds, with a table of each task's columns."""
    rows = []
    for task in tasks:
        name, action = inline(task.spec.name), task.spec.action
        for part in task.spec.observations:
            values = "uint8" if part.modality is Modality.IMAGE else ""
            values = f"0 … {part.num_values - 1}" if part.num_values else values
            rows.append((name, f"observation.{inline(part.name)}", part.modality, _shape(part.shape), values))
        rows.append((name, "action, target", action.modality, _shape(action.shape), _action_range(task)))
    return f"{ROW_TEXT}\n\n{_table(('task', 'column', 'kind', 'shape', 'values'), rows)}"


def _action_range(task: TaskSummary) -> str:
    action = task.spec.action
    if action.num_values:
        return f"0 … {max(action.num_values) - 1}"
    return f"{min(action.low):g} … {max(action.high):g}" if action.low else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one"


def loading(name: str, tasks: list[TaskSummary]) -> str:
    """Returns code that loads the dataset's first task with several libraries.

    Args:
        name: the dataset's folder.
        tasks: the tasks' summaries.
    """
    if not tasks:
        return "The dataset holds no episode yet."
    first = tasks[0].folder
    image = next((part for t in tasks for part in t.spec.observations if part.modality is Modality.IMAGE), None)
    shape = ", ".join(map(str, image.shape)) if image else ""
    note = f"Images are raw bytes: `numpy.frombuffer(value, numpy.uint8).reshape({shape})`." if image else ""
    return f"""Run this in the folder that contains the dataset. It does not need gato_dist:
```python
from pathlib import Path

import pyarrow.dataset

files = sorted(map(str, Path({f"{name}/{first}"!r}).glob("*.parquet")))
steps = pyarrow.dataset.dataset(files).to_table()
```
```python
from pathlib import Path

import pandas

files = sorted(Path({f"{name}/{first}"!r}).glob("*.parquet"))
steps = pandas.concat(map(pandas.read_parquet, files))
```
```python
import polars

steps = polars.scan_parquet({f"{name}/{first}/*.parquet"!r}).collect()
```
```python
import datasets

steps = datasets.load_dataset({name!r}, {first!r}, split="train")
```
{note}""".rstrip()
