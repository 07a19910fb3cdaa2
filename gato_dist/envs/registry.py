"""Finds a suite's module by name; a suite is one file with `spec(entry)` and `make(entry, seeds, threads)`."""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from gato_dist.envs.layouts import known_layout
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry, playable_entry


def task_spec(task: str) -> TaskSpec:
    """A task's layout. Raises InputError for an unknown task, and a user's own that cannot be made."""
    entry = playable_entry(task)
    return known_layout(entry) or package_layout(entry)


def package_layout(entry: TaskEntry) -> TaskSpec:
    """What the task's package says of its layout. Raises InputError if the package is missing or cannot make it."""
    with _naming(entry):
        return _suite(entry.name).spec(entry)


def make_env(task: str, seeds: list[int], threads: int = 1, max_steps: int | None = None) -> VectorEnv:
    """One environment per seed; `max_steps` cuts episodes shorter than the task's own limit. Raises as `task_spec`."""
    entry = playable_entry(task)
    if max_steps:
        entry = replace(entry, options=entry.options | {"max_episode_steps": max_steps})
    with _naming(entry):
        return _suite(task).make(entry, seeds, threads)


@contextmanager
def _naming(entry: TaskEntry) -> Iterator[None]:
    """What a suite raises of a user's own task is said of that task: its options are wrong, or its environment."""
    try:
        yield
    except READ_ERRORS as error:
        if not entry.user_defined:
            raise
        raise InputError(f"{entry.name}: cannot be made of these options: {brief(error)}") from error


def _suite(task: str) -> Any:
    family = playable_entry(task).family
    try:
        return importlib.import_module(f"gato_dist.envs.suites.{family}")
    except ImportError as error:
        raise InputError(f"{task}: {error}") from error
