"""The tasks that this system knows: name, environment and expert of each, from assets/tasks/, a file for each suite."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.utils.files import suffix_of
from gato_dist.utils.typed_json import read_as

# Tasks of this suite stand in no file: any of gymnasium's ids, or module:factory, is one.
OPEN_SUITE = "gymnasium"
# Tasks of these suites have no environment: a dataset that was imported brings their layout and their moments.
IMPORTED_SUITES = ("minari", "jat")
# A user's own suites: files like those that are shipped, and below it the references that were measured of them.
OWN_FOLDER = Path("gato_tasks")
# libyaml's, where PyYAML was built with it, reads the shipped files in a tenth of the time.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class TaskEntry:
    """A line of the task table.

    env: the suite's own name of the environment; options: keyword arguments of its maker.
    expert: kind of expert, and the keyword arguments of its maker.
    family: the suite whose environments and experts this one shares: `procgen` for `procgen_hard`.
    own: a user's, not shipped.
    """

    name: str
    env: str
    options: dict[str, Any] = field(default_factory=dict)
    expert: str = ""
    expert_options: dict[str, Any] = field(default_factory=dict)
    family: str = ""
    own: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "family", self.family or self.suite)

    @property
    def suite(self) -> str:
        return self.name.split("/", 1)[0]


@cache
def task_table() -> dict[str, TaskEntry]:
    """Every listed task by name, suite by suite: the shipped ones, then those of `gato_tasks/` where the command runs.

    Raises InputError, which names the file, for one of a user's that cannot be read as tasks.
    """
    table = dict(_shipped())
    for file in sorted(OWN_FOLDER.glob("*")):
        if suffix_of(file) != ".yaml":
            continue
        try:
            own = _read(file.stem, file.read_text("utf-8"), own=True)
        except (*DAMAGED, yaml.YAMLError) as error:
            raise InputError(f"{file}: not a file of tasks: {brief(error)}") from error
        if taken := sorted(own.keys() & table.keys()):
            raise InputError(f"{file}: {taken[0]} is listed already; give the file, which is the suite, another name")
        table.update(own)
    return table


@cache
def _shipped() -> dict[str, TaskEntry]:
    folder = files("gato_dist") / "assets" / "tasks"
    paths = sorted(folder.iterdir(), key=lambda path: path.name)
    suites = [_read(path.name.removesuffix(".yaml"), path.read_text("utf-8"), own=False) for path in paths]
    return {name: entry for suite in suites for name, entry in suite.items()}


def _read(suite: str, text: str, own: bool) -> dict[str, TaskEntry]:
    data = yaml.load(text, LOADER)
    common = {"family": data.get("family", suite), "own": own} | data.get("defaults", {})
    names = [f"{suite}/{name}" for name in data["tasks"]]
    lines = zip(names, data["tasks"].values(), strict=True)
    unknown = {key for line in data["tasks"].values() for key in {**common, **line}} - set(
        TaskEntry.__dataclass_fields__
    )
    if unknown:
        raise ValueError(f"there is no key {min(unknown, key=str)!r}")
    return {name: read_as(TaskEntry, {"name": name, **common, **line}) for name, line in lines}


def task_entry(name: str) -> TaskEntry:
    """One task. Raises InputError that names near ones where it is unknown."""
    table = task_table()
    if name.startswith(f"{OPEN_SUITE}/"):
        return TaskEntry(name, name.removeprefix(f"{OPEN_SUITE}/"), own=True)
    if is_imported(name):
        return TaskEntry(name, "", own=True)
    if name not in table:
        from difflib import get_close_matches

        suite = name.partition("/")[0]
        if not any(listed.startswith(f"{suite}/") for listed in table) and not get_close_matches(name, table, n=1):
            raise InputError(
                f"unknown task {name!r}: there is no suite {suite} (gato-dist tasks lists all); one of your own needs "
                f"{OWN_FOLDER}/{suite}.yaml in the working directory"
            )
        near = get_close_matches(name, table, n=3) or sorted(table)
        raise InputError(f"unknown task {name!r}; did you mean {', '.join(near)}? (gato-dist tasks lists all)")
    return table[name]


def is_imported(name: str) -> bool:
    """Whether a task is known from datasets alone."""
    return name.startswith(tuple(f"{suite}/" for suite in IMPORTED_SUITES))


def played_entry(name: str) -> TaskEntry:
    """A task that can be played. Raises InputError as `task_entry`, and for one that only a dataset knows."""
    if is_imported(name):
        raise InputError(f"{name}: known from an imported dataset alone; train on it with: gato-dist train --data DATA")
    return task_entry(name)


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


def choose(names: Sequence[str], glob: str, of: str) -> list[str]:
    """Those of `of`'s tasks that a glob, or a comma-separated list, matches. Raises InputError where there is none."""
    chosen = [name for name in names if any(fnmatchcase(name, part.strip()) for part in glob.split(","))]
    if not chosen:
        raise InputError(f"--tasks {glob}: the tasks of {of} are {', '.join(names)}")
    return chosen
