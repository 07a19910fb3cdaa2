"""The specs of the shipped tasks, as their packages reported them: listing tasks needs none of the packages.

assets/layouts.jsonl holds one JSON object per task. `python -m tests.contracts.layouts` writes the file, and tests
compare it with the packages.
"""

import json
from functools import cache
from importlib.resources import files
from pathlib import Path

from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

FILE = Path(str(files("gato_dist") / "assets" / "layouts.jsonl"))


def known_layout(entry: TaskEntry) -> TaskSpec | None:
    """Returns the spec of a shipped task; None for a user's own task, whose options the file does not know."""
    return None if entry.user_defined else _table().get(entry.name)


@cache
def _table() -> dict[str, TaskSpec]:
    return {spec.name: spec for spec in map(TaskSpec.from_dict, map(json.loads, FILE.read_text("utf-8").splitlines()))}
