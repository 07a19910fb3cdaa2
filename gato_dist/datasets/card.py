"""The card of a dataset (README.md): what it holds, how it was made and how to load it, for people and for the Hub."""

from typing import Any

from gato_dist.datasets.card_edits import join_card
from gato_dist.datasets.card_licences import licences
from gato_dist.datasets.card_sections import inline, loading, making, opening, row_layout, task_table
from gato_dist.errors import READ_ERRORS, InputError, brief
from replay.dataset.dataset import Dataset
from replay.dataset.summary import TaskSummary, summarize

CARD = "README.md"
# The Hub's size categories, by number of steps.
SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"),
)  # fmt: skip
LARGEST = "10B<n<100B"


def write_card(dataset: Dataset) -> None:
    """Writes README.md into the dataset's folder. Edits that people made to an older card are kept.

    Raises:
        InputError: if the older card cannot be read or its header is not YAML.
    """
    path = dataset.root / CARD
    remedy = "fix or delete it, then run: gato-dist dataset card"
    try:
        before = path.read_text() if path.exists() else ""
    except READ_ERRORS as error:
        raise InputError(f"{path}: cannot be read ({brief(error)}); {remedy}") from error
    try:
        path.write_text(make_card(dataset, before))
    except ValueError as error:
        raise InputError(f"{path}: {error}; {remedy}") from error


def make_card(dataset: Dataset, before: str = "") -> str:
    """Returns the card's text, made from the manifests. Text in them is never taken for Markdown, HTML or YAML.

    Args:
        dataset: the dataset.
        before: an older card, whose edits are kept; empty for a new card.

    Raises:
        ValueError: if the older card's header is not YAML.
    """
    tasks, name = summarize(dataset), dataset.root.absolute().name
    sections = {
        "opening": f"# {inline(name)}\n\n{opening(tasks)}",
        "tasks": f"## Tasks\n{task_table(tasks)}",
        "making": f"## How it was made\n{making(dataset.settings, tasks)}",
        "rows": f"## What a row holds\n{row_layout(tasks)}",
        "loading": f"## Loading\n{loading(name, tasks)}",
        "licences": f"## Licences\n{licences(tasks)}",
    }
    return join_card(_header(name, tasks), sections, before)


def _header(name: str, tasks: list[TaskSummary]) -> dict[str, Any]:
    """The card's YAML header, which the Hub reads."""
    steps = sum(task.statistics.steps for task in tasks)
    continuous = any(task.spec.action.modality == "continuous" for task in tasks)
    suites = sorted({task.spec.suite for task in tasks})
    return {
        "pretty_name": name,
        "license": "other",
        "license_name": "to-be-chosen",
        "task_categories": ["reinforcement-learning"] + ["robotics"] * continuous,
        "tags": ["offline-reinforcement-learning", "imitation-learning", "gato", *suites],
        "size_categories": [next((size for limit, size in SIZES if steps < limit), LARGEST)],
        "configs": [
            {"config_name": task.folder, "data_files": [{"split": "train", "path": f"{task.folder}/*.parquet"}]}
            for task in tasks
        ],
    }
