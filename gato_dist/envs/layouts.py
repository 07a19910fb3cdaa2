"""The layouts of the shipped tasks as their packages told them: who lists tasks asks no package, and needs none.

assets/layouts.jsonl holds a JSON object a task. `python -m tests.contracts.layouts` writes it, tests hold it to the
packages.
"""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

FILE = Path(str(files("gato_dist") / "assets" / "layouts.jsonl"))


def known_layout(entry: TaskEntry) -> TaskSpec | None:
    """A shipped task's layout; None for a user's own, whose options the table does not know."""
    return None if entry.user_defined else _table().get(entry.name)


@cache
def _table() -> dict[str, TaskSpec]:
    return {spec.name: spec for spec in map(TaskSpec.from_dict, map(json.loads, FILE.read_text("utf-8").splitlines()))}
