"""The task table: name, environment and expert of every task, from one YAML file for each suite."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.utils.files import lowercase_suffix
from gato_dist.utils.typed_json import read_as

# This suite has no file of tasks: every gymnasium id, and every module:factory, is a task.
OPEN_SUITE = "gymnasium"
# Tasks of these suites have no environment. Their layout and their moments come from an imported dataset.
IMPORTED_SUITES = ("minari", "jat")
# Users' own suites, in the working directory: YAML files, and a folder `references` with measured scores.
USER_TASKS_FOLDER = Path("gato_tasks")
# libyaml's loader, if PyYAML has it, needs a tenth of the time.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class TaskEntry:
    """An entry of the task table.

    Attributes:
        name: suite/name.
        env: the suite's own id of the environment.
        options: keyword arguments for making the environment.
        expert: kind of expert; empty if there is none.
        expert_options: keyword arguments for making the expert.
        family: the suite that makes the environment and the expert, such as `procgen` for `procgen_hard`.
        user_defined: whether the task is a user's own, rather than built in.
    """

    name: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    expert: str = ""
    expert_options: dict[str, Any] = field(default_factory=dict)
    family: str = ""
    user_defined: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", self.family or self.suite)

    @property
    def suite(self) -> str:
        return self.name.split("/", 1)[0]


@cache
def task_table() -> dict[str, TaskEntry]:
    """Returns all listed tasks by name: the built-in ones, then those of `gato_tasks/` in the working directory.

    Raises:
        InputError: if a user's file is not a file of tasks; the message names it.
    """
    table = dict(_built_in_tasks())
    for file in sorted(USER_TASKS_FOLDER.glob("*")):
        if lowercase_suffix(file) != ".yaml":
            continue
        try:
            tasks = _parse_suite(file.stem, file.read_text("utf-8"), user_defined=True)
        except (*READ_ERRORS, yaml.YAMLError) as error:
            raise InputError(f"{file}: not a file of tasks: {brief(error)}") from error
        if taken := sorted(tasks.keys() & table.keys()):
            raise InputError(f"{file}: {taken[0]} is listed already; give the file, which is the suite, another name")
        table.update(tasks)
    return table


@cache
def _built_in_tasks() -> dict[str, TaskEntry]:
    folder = files("gato_dist") / "assets" / "tasks"
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    suites = [_parse_suite(path.name.removesuffix(".yaml"), path.read_text("utf-8"), False) for path in paths]
    return {name: entry for suite in suites for name, entry in suite.items()}


def _parse_suite(suite: str, text: str, user_defined: bool) -> dict[str, TaskEntry]:
    """Returns the tasks of a suite's file. Raises errors of many types if the text is not a file of tasks."""
    data = yaml.load(text, LOADER)
    common = {"family": data.get("family", suite), "user_defined": user_defined} | data.get("defaults", {})
    entries = {f"{suite}/{name}": {**common, **keys} for name, keys in data["tasks"].items()}
    unknown = {key for keys in entries.values() for key in keys} - set(TaskEntry.__dataclass_fields__)
    if unknown:
        raise ValueError(f"there is no key {min(unknown, key=str)!r}")
    return {name: read_as(TaskEntry, {"name": name, **keys}) for name, keys in entries.items()}


def task_entry(name: str) -> TaskEntry:
    """Returns one task's entry, for imported tasks and tasks of the open suite too.

    Raises:
        InputError: if there is no such task; the message names similar ones.
    """
    table = task_table()
    if name.startswith(f"{OPEN_SUITE}/"):
        return TaskEntry(name, name.removeprefix(f"{OPEN_SUITE}/"), user_defined=True)
    if is_imported(name):
        return TaskEntry(name, "", user_defined=True)
    if name in table:
        return table[name]
    suite = name.partition("/")[0]
    similar = get_close_matches(name, table, n=3)
    if not similar and not any(listed.startswith(f"{suite}/") for listed in table):
        raise InputError(
            f"unknown task {name!r}: there is no suite {suite} (gato-dist tasks lists all); one of your own needs "
            f"{USER_TASKS_FOLDER}/{suite}.yaml in the working directory"
        )
    suggestions = similar or sorted(table)
    raise InputError(f"unknown task {name!r}; did you mean {', '.join(suggestions)}? (gato-dist tasks lists all)")


def is_imported(name: str) -> bool:
    """Returns whether a task has no environment, but comes from an imported dataset."""
    return name.startswith(tuple(f"{suite}/" for suite in IMPORTED_SUITES))


def playable_entry(name: str) -> TaskEntry:
    """Returns the entry of a task that has an environment.

    Raises:
        InputError: as `task_entry`, and for imported tasks.
    """
    if is_imported(name):
        raise InputError(f"{name}: known from an imported dataset alone; train on it with: gato-dist train --data DATA")
    return task_entry(name)


def match_tasks(glob: str) -> list[str]:
    """Returns the names of tasks that match a glob, or a comma-separated list of globs.

    Raises:
        InputError: if a glob matches nothing.
    """
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


def select_tasks(names: Sequence[str], glob: str, owner: str) -> list[str]:
    """Returns those names that match `--tasks`: a glob, or a comma-separated list of globs.

    Args:
        names: names to select from.
        glob: value of `--tasks`.
        owner: what has these tasks, for the error message, such as `the checkpoint`.

    Raises:
        InputError: if no name matches.
    """
    selected = [name for name in names if any(fnmatchcase(name, part.strip()) for part in glob.split(","))]
    if not selected:
        raise InputError(f"--tasks {glob}: the tasks of {owner} are {', '.join(names)}")
    return selected
