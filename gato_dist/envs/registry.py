"""Finds a suite's module by name; a suite is one file with `spec(entry)` and `make(entry, seeds, threads)`."""

import importlib
from dataclasses import replace
from typing import Any

from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import played_entry


def task_spec(task: str) -> TaskSpec:
    """A task's layout, without making an environment. Raises InputError for an unknown task or a missing library."""
    return _suite(task).spec(played_entry(task))


def make_env(task: str, seeds: list[int], threads: int = 1, max_steps: int | None = None) -> VectorEnv:
    """One environment per seed; `max_steps` cuts episodes shorter than the task's own limit. Raises as `task_spec`."""
    entry = played_entry(task)
    if max_steps:
        entry = replace(entry, options=entry.options | {"max_episode_steps": max_steps})
    return _suite(task).make(entry, seeds, threads)


def _suite(task: str) -> Any:
    family = played_entry(task).family
    try:
        return importlib.import_module(f"gato_dist.envs.{family}")
    except ImportError as error:
        raise InputError(f"{task}: {error}") from error
