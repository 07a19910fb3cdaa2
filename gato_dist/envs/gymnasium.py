"""Any gymnasium environment: `gymnasium/<id>`, or `gymnasium/<module>:<factory>` for a function that makes one.

The module is imported from where the command runs; the task's options are the keyword arguments of its maker.
"""

import contextlib
import functools
from typing import Any

from gato_dist.envs.python_vector import PythonVector, spec_of
from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry
from gato_dist.user_code import find


def spec(entry: TaskEntry) -> TaskSpec:
    """Raises InputError for an environment that cannot be made, or has spaces without tokens."""
    with contextlib.closing(_make(entry.env, entry.options)) as env:
        try:
            return spec_of(entry.name, env)
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from error


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Environments run in a process each where `threads` > 1. Raises InputError as `spec`."""
    return PythonVector(functools.partial(_make, entry.env, entry.options), spec(entry), seeds, threads)


def _make(env: str, options: dict[str, Any]) -> Any:
    import gymnasium

    try:
        if ":" not in env:
            draws = "rgb_array" in (gymnasium.make(env).metadata.get("render_modes") or ())
            mode = {"render_mode": "rgb_array"} if draws else {}
            return gymnasium.make(env, disable_env_checker=True, **mode | options)
        limits = dict(options)
        limit = limits.pop("max_episode_steps", None)
        made = find(env)(**limits)
        return gymnasium.wrappers.TimeLimit(made, limit) if limit else made
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise InputError(f"gymnasium/{env}: {' '.join(str(error).split())}") from error
