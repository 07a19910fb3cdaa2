"""README.md of a dataset: what it holds, where it comes from and how it is loaded, for people and for the Hub."""

import re
import shlex
from typing import Any

from gato_dist.datasets.card_edits import join_card
from gato_dist.errors import DAMAGED, InputError, brief
from replay.dataset.dataset import Dataset
from replay.dataset.summary import TaskSummary, summarize

CARD = "README.md"
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
         (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"))  # fmt: skip
# What each suite's environments are published under, as far as their repositories say; to be checked by whoever shares.
LICENCES = {
    "ale": "Arcade Learning Environment: GPL-2.0; the games' pictures belong to their publishers",
    "babyai": "BabyAI and MiniGrid: Apache-2.0 (BabyAI's first release: BSD-3-Clause)",
    "dm_control": "dm_control and MuJoCo: Apache-2.0",
    "gymnasium": "Gymnasium: MIT; the environment named: its own",
    "jat": "imported from a set in JAT's layout: that set's own, and its environments'",
    "manipulation": "dm_control and MuJoCo: Apache-2.0; the robots' models: their makers'",
    "metaworld": "Meta-World: MIT; MuJoCo: Apache-2.0",
    "minari": "imported from Minari: that dataset's own, and its environment's",
    "minigrid": "MiniGrid: Apache-2.0",
    "mujoco": "Gymnasium's MuJoCo environments: MIT; MuJoCo: Apache-2.0",
    "procgen": "Procgen: MIT; its pictures: see its repository's list of assets",
    "sokoban": "Jumanji: Apache-2.0; DeepMind's Boxoban levels: Apache-2.0",
    "vizdoom": "ViZDoom: MIT; the ZDoom engine and Freedoom's pictures: their own",
}


def write_card(dataset: Dataset) -> None:
    """Writes README.md into the dataset's folder; what people wrote into an older one stays.

    Raises:
        InputError: the older card cannot be read, or its header is no YAML.
    """
    path = dataset.root / CARD
    try:
        before = path.read_text() if path.exists() else ""
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read ({brief(error)}); mend or delete it, then: dataset card") from error
    try:
        path.write_text(make_card(dataset, before))
    except ValueError as error:
        raise InputError(f"{path}: {error}; mend or delete it, then: dataset card") from error


def make_card(dataset: Dataset, before: str = "") -> str:
    """The card's text, from the manifests. Nothing that stands in them is taken for Markdown, HTML or YAML.

    before: an older card, of which people's edits stay. Raises ValueError if its header is no YAML.
    """
    tasks, name = summarize(dataset), dataset.root.absolute().name
    sections = {
        "opening": f"# {inline(name)}\n\n{_opening(tasks)}",
        "tasks": f"## Tasks\n{_task_table(tasks)}",
        "making": f"## How it was made\n{_making(dataset, tasks)}",
        "rows": f"## What a row holds\n{_layout(tasks)}",
        "loading": f"## Loading\n{_loading(name, tasks)}",
        "licences": f"## Licences\n{_licences(tasks)}",
    }
    return join_card(_front_matter(name, tasks), sections, before)


def inline(text: object) -> str:
    """Fit for a line or a table's cell of Markdown: shown as it is, never read as markup."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(str(text).split()))
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#|~!$])", r"\\\1", line)


def _front_matter(name: str, tasks: list[TaskSummary]) -> dict[str, Any]:
    steps = sum(task.statistics.steps for task in tasks)
    return {
        "pretty_name": name,
        "license": "other",
        "license_name": "to-be-chosen",
        "task_categories": ["reinforcement-learning"] + ["robotics"] * _has(tasks, "continuous"),
        "tags": [
            "offline-reinforcement-learning",
            "imitation-learning",
            "gato",
            *sorted({t.spec.suite for t in tasks}),
        ],
        "size_categories": [next((size for limit, size in SIZES if steps < limit), "10B<n<100B")],
        "configs": [
            {"config_name": task.folder, "data_files": [{"split": "train", "path": f"{task.folder}/*.parquet"}]}
            for task in tasks
        ],
    }


def _has(tasks: list[TaskSummary], action: str) -> bool:
    return any(task.spec.action.modality == action for task in tasks)


def _opening(tasks: list[TaskSummary]) -> str:
    episodes, steps = (sum(getattr(task.statistics, name) for task in tasks) for name in ("episodes", "steps"))
    size = sum(task.statistics.bytes for task in tasks) / 1e6
    return (
        f"{episodes:,} episodes, {steps:,} steps of {len(tasks)} task{'s' * (len(tasks) != 1)} ({size:,.1f} MB): raw "
        "observations, actions and rewards, with where each episode came from. Made by gato_dist, after “A Generalist "
        "Agent” (Reed et al., 2022, [arXiv 2205.06175](https://arxiv.org/abs/2205.06175))."
    )


def _task_table(tasks: list[TaskSummary]) -> str:
    head = ("task", "episodes", "steps", "return, mean ± std", "from … to", "success", "bytes/step", "policy", "hash")
    lines = [_row(head), _row(["---"] * len(head))]
    for task in tasks:
        known = task.statistics
        cells = (
            inline(task.spec.name), f"{known.episodes:,}", f"{known.steps:,}",
            f"{known.return_mean:.2f} ± {known.return_std:.2f}", f"{known.return_min:.2f} … {known.return_max:.2f}",
            "–" if known.success is None else f"{known.success:.0%}", f"{known.bytes / known.steps:.0f}",
            inline(", ".join(task.policies)), inline(", ".join(each or "–" for each in task.policies.values())),
        )  # fmt: skip
        lines.append(_row(cells))
    return "\n".join(lines)


def _making(dataset: Dataset, tasks: list[TaskSummary]) -> str:
    settings = dataset.settings
    days = sorted(day for task in tasks for day in task.days)
    versions: dict[str, set[str]] = {}
    for task in tasks:
        for package, found in task.versions.items():
            versions.setdefault(package, set()).update(found)
    told = ", ".join(f"{package} {' and '.join(sorted(found))}" for package, found in sorted(versions.items()))
    facts = {
        "command": settings.get("made") or _collect_command(settings),
        "policy": settings["policy"],
        "checkpoint": (settings["checkpoint"] or {}).get("sha256"),
        "seed": settings["seed"],
        "least expert-score fraction": settings["min_fraction"],
        "played": f"{days[0]} to {days[-1]}" if days else "",
        "versions": told,
    }
    lines = [f"- {name}: {inline(value)}" for name, value in facts.items() if value not in (None, "")]
    lines += [
        "",
        "Each episode's seed, policy, content hash and versions stand in the JSON beside it, each task's expert",
    ]
    return "\n".join([*lines, "and its options in `dataset.json`."])


def _collect_command(settings: dict[str, Any]) -> str:
    words = ["gato-dist", "collect", "--tasks", ",".join({**settings["episodes"], **settings["steps"]})]
    for key in ("episodes", "steps"):
        if settings[key]:
            words += [f"--{key}", str(max(settings[key].values()))]
    policy = (settings["checkpoint"] or {}).get("name") or settings["policy"]
    words += ["--policy", str(policy), "--seed", str(settings["seed"])]
    if settings["min_fraction"] is not None:
        words += ["--min-fraction", str(settings["min_fraction"])]
    return shlex.join(words)


def _layout(tasks: list[TaskSummary]) -> str:
    lines = [
        "A row is a step: `episode`, `step`, a column for each part of the observation, `action` (what was done), "
        "`target` (what the expert would have done where something disturbed it) and `reward`. Tensors are row-major.",
        "",
        _row(("task", "column", "kind", "shape", "values")),
        _row(["---"] * 5),
    ]
    for task in tasks:
        name = inline(task.spec.name)
        for part in task.spec.observations:
            values = f"0 … {part.num_values - 1}" if part.num_values else "uint8" if part.modality == "image" else ""
            lines.append(_row((name, f"observation.{inline(part.name)}", part.modality, _shape(part.shape), values)))
        action = task.spec.action
        lines.append(_row((name, "action, target", action.modality, _shape(action.shape), _range(task))))
    return "\n".join(lines)


def _range(task: TaskSummary) -> str:
    action = task.spec.action
    if action.num_values:
        return f"0 … {max(action.num_values) - 1}"
    return f"{min(action.low):g} … {max(action.high):g}" if action.low else ""


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "one"


def _row(cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _loading(name: str, tasks: list[TaskSummary]) -> str:
    if not tasks:
        return "Nothing yet."
    folder, files = repr(f"{name}/{tasks[0].folder}"), repr(f"{name}/{tasks[0].folder}/*.parquet")
    picture = next((p for t in tasks for p in t.spec.observations if p.modality == "image"), None)
    shape = ", ".join(map(str, picture.shape)) if picture else ""
    note = f"Pictures are raw bytes: `numpy.frombuffer(value, numpy.uint8).reshape({shape})`." if picture else ""
    return f"""Where this folder lies, with none of gato_dist's code:
```python
from pathlib import Path

import pyarrow.dataset

steps = pyarrow.dataset.dataset(sorted(map(str, Path({folder}).glob("*.parquet")))).to_table()
```
```python
from pathlib import Path

import pandas

steps = pandas.concat(map(pandas.read_parquet, sorted(Path({folder}).glob("*.parquet"))))
```
```python
import polars

steps = polars.scan_parquet({files}).collect()
```
```python
import datasets

steps = datasets.load_dataset({name!r}, {tasks[0].folder!r}, split="train")
```
{note}""".rstrip()


def _licences(tasks: list[TaskSummary]) -> str:
    lines = [
        "**To be filled in by whoever shares this**: a licence for the data (`license` above) that the terms of the",
        "environments and policies below allow. What we know of those; check each before you publish:",
        "",
    ]
    for suite in sorted({task.spec.suite for task in tasks}):
        known = LICENCES.get(suite) or LICENCES.get(re.split(r"_(?:hard|extended|pixels)$", suite)[0])
        lines.append(f"- {inline(suite)}: {known or 'unknown to us: name its licence here'}")
    return "\n".join(lines)
