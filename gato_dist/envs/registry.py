"""Makes the environments of a task, and describes them, through the task's suite."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from gato_dist.envs.layouts import known_layout
from gato_dist.envs.suite import Suite
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry, playable_entry

SUITES = "gato_dist.envs.suites"
SUITE_FUNCTIONS = {"spec": "spec(entry)", "make": "make(entry, seeds, threads)"}


def task_spec(task: str) -> TaskSpec:
    """Returns the observations, actions and episode limit of a task.

    The specs of shipped tasks come from a table, so that their packages need not be installed.

    Raises:
        InputError: if the task is unknown, or is the user's own and cannot be made.
    """
    entry = playable_entry(task)
    return known_layout(entry) or package_layout(entry)


def package_layout(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task as its package reports it.

    Raises:
        InputError: if the package is missing, or cannot make the environment.
    """
    with _errors_name_the_task(entry):
        return find_suite(entry).spec(entry)


def make_env(task: str, seeds: list[int], threads: int = 1, max_steps: int | None = None) -> VectorEnv:
    """Makes one environment per seed.

    Args:
        task: name of the task, such as `ale/pong`.
        seeds: environment i draws its levels from `seeds[i]`.
        threads: how many threads, or processes, may step the environments.
        max_steps: truncates episodes, if this is less than the task's own limit.

    Raises:
        InputError: if the task is unknown, or is the user's own and cannot be made.
    """
    entry = playable_entry(task)
    if max_steps:
        entry = replace(entry, options=entry.options | {"max_episode_steps": max_steps})
    with _errors_name_the_task(entry):
        return find_suite(entry).make(entry, seeds, threads)


def find_suite(entry: TaskEntry) -> Suite:
    """Returns the module that implements the suite of a task.

    Raises:
        InputError: if there is no such module, a package that it imports is missing, or it lacks a function.
    """
    name = f"{SUITES}.{entry.family}"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            raise InputError(
                f"{entry.name}: no suite {entry.family!r}; its file names as `family` one of {', '.join(_families())}"
            ) from error
        raise InputError(f"{entry.name}: {error}") from error
    return as_suite(module)


def as_suite(module: ModuleType) -> Suite:
    """Returns a module as a suite.

    Raises:
        InputError: if the module lacks a function of `Suite`. The message names the missing functions.
    """
    if isinstance(module, Suite):
        return module
    missing = [signature for name, signature in SUITE_FUNCTIONS.items() if name not in vars(module)]
    raise InputError(f"{module.__name__}: a suite needs the functions {', '.join(missing)}; see gato_dist.envs.suite")


def _families() -> list[str]:
    folder = Path(str(importlib.import_module(SUITES).__path__[0]))
    return sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")


@contextmanager
def _errors_name_the_task(entry: TaskEntry) -> Iterator[None]:
    """Turns what a suite raises for a user's own task into an InputError: the options or the environment are wrong."""
    try:
        yield
    except READ_ERRORS as error:
        if not entry.user_defined:
            raise
        raise InputError(f"{entry.name}: cannot be made of these options: {brief(error)}") from error
