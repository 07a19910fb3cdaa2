"""The tasks that this system knows: name, environment and expert of each, from assets/tasks/, a file for each suite."""

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from gato_dist.errors import InputError

# Tasks of this suite stand in no file: any of gymnasium's ids, or module:factory, is one.
OPEN_SUITE = "gymnasium"


@dataclass(frozen=True)
class TaskEntry:
    """A line of the task table.

    env: the suite's own name of the environment; options: keyword arguments of its maker.
    expert: kind of expert, and the keyword arguments of its maker.
    family: the suite whose environments and experts this one shares: `procgen` for `procgen_hard`.
    """

    name: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    expert: str = ""
    expert_options: dict[str, Any] = field(default_factory=dict)
    family: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", self.family or self.suite)

    @property
    def suite(self) -> str:
        return self.name.split("/", 1)[0]


@cache
def task_table() -> dict[str, TaskEntry]:
    """Every listed task by name, suite by suite."""
    import yaml

    table = {}
    for path in sorted((files("gato_dist") / "assets" / "tasks").iterdir(), key=lambda path: path.name):
        suite = path.name.removesuffix(".yaml")
        data = yaml.safe_load(path.read_text())
        for name, values in data["tasks"].items():
            line = {"family": data.get("family", suite)} | data.get("defaults", {}) | values
            table[f"{suite}/{name}"] = TaskEntry(f"{suite}/{name}", **line)
    return table


def task_entry(name: str) -> TaskEntry:
    """One task. Raises InputError that names near ones where it is unknown."""
    table = task_table()
    if name.startswith(f"{OPEN_SUITE}/"):
        return TaskEntry(name, name.removeprefix(f"{OPEN_SUITE}/"))
    if name not in table:
        from difflib import get_close_matches

        near = get_close_matches(name, table, n=3) or sorted(table)
        raise InputError(f"unknown task {name!r}; did you mean {', '.join(near)}? (gato-dist tasks lists all)")
    return table[name]


def match_tasks(glob: str) -> list[str]:
    """Names that match a glob, or a comma-separated list of globs. Raises InputError where one matches nothing."""
    found: dict[str, None] = {}
    for pattern in glob.split(","):
        pattern = pattern.strip()
        names = [name for name in task_table() if fnmatchcase(name, pattern)]
        if pattern.startswith(f"{OPEN_SUITE}/"):
            names = [pattern]
        if not names:
            raise InputError(f"no task matches {pattern!r} (gato-dist tasks lists all)")
        found.update(dict.fromkeys(names))
    return list(found)
