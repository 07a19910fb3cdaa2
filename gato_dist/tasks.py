"""The tasks that this system knows: name, environment and expert of each, from assets/tasks.yaml."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from gato_dist.errors import InputError


@dataclass(frozen=True)
class TaskEntry:
    """A line of the task table.

    env: the suite's own name of the environment; options: keyword arguments of its maker.
    expert: kind of expert, and the keyword arguments of its maker.
    """

    name: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    expert: str = ""
    expert_options: dict[str, Any] = field(default_factory=dict)

    @property
    def suite(self) -> str:
        return self.name.split("/", 1)[0]


@cache
def task_table() -> dict[str, TaskEntry]:
    """Every known task by name."""
    from omegaconf import OmegaConf

    data = OmegaConf.to_container(OmegaConf.load(str(files("gato_dist") / "assets" / "tasks.yaml")))
    assert isinstance(data, dict)
    return {str(name): TaskEntry(str(name), **values) for name, values in data.items()}


def task_entry(name: str) -> TaskEntry:
    """One task. Raises InputError that names near ones where it is unknown."""
    table = task_table()
    if name not in table:
        from difflib import get_close_matches

        near = get_close_matches(name, table, n=3) or sorted(table)
        raise InputError(f"unknown task {name!r}; did you mean {', '.join(near)}? (gato-dist tasks lists all)")
    return table[name]


def match_tasks(glob: str) -> list[str]:
    """Names that match a glob, or a comma-separated list of globs. Raises InputError where one matches nothing."""
    found: dict[str, None] = {}
    for pattern in glob.split(","):
        names = [name for name in task_table() if fnmatchcase(name, pattern.strip())]
        if not names:
            raise InputError(f"no task matches {pattern.strip()!r} (gato-dist tasks lists all)")
        found.update(dict.fromkeys(names))
    return list(found)
