"""Any gymnasium environment, as the task `gymnasium/<id>` or `gymnasium/<module>:<name>`.

`<id>` is what `gymnasium.make` takes. `<module>` is also searched in the working directory; `<name>` is a function or
class of the module that makes an environment, or an id that the module registers (`gymnasium/mypackage:MyEnv-v0`). The
task's options are keyword arguments of the environment.
"""

import contextlib
import functools
import importlib
from typing import Any

from gato_dist.envs.gymnasium_vector import GymnasiumVector, gymnasium_spec
from gato_dist.errors import InputError, brief
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry
from gato_dist.utils.import_object import import_user_module

# Packages register environments when they are imported. Prefix of the id: (module to import, name for pip).
REGISTERED_BY = {
    "ALE/": ("ale_py", "ale-py"),
    "MiniGrid-": ("minigrid", "minigrid"),
    "BabyAI-": ("minigrid", "minigrid"),
    "Meta-World/": ("metaworld", "metaworld"),
    "MiniWorld-": ("miniworld", "miniworld"),
    "dm_control/": ("shimmy", "shimmy[dm-control]"),
    "Fetch": ("gymnasium_robotics", "gymnasium-robotics"),
    "Hand": ("gymnasium_robotics", "gymnasium-robotics"),
    "Adroit": ("gymnasium_robotics", "gymnasium-robotics"),
    "AntMaze": ("gymnasium_robotics", "gymnasium-robotics"),
    "PointMaze": ("gymnasium_robotics", "gymnasium-robotics"),
    "FrankaKitchen": ("gymnasium_robotics", "gymnasium-robotics"),
    "Panda": ("panda_gym", "panda-gym"),
    "highway-": ("highway_env", "highway-env"),
    "parking-": ("highway_env", "highway-env"),
}


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task, as `gato_dist.envs.suite.Suite` says.

    Raises:
        InputError: if the environment cannot be made, or its spaces cannot be turned into tokens.
    """
    with contextlib.closing(_make(entry.env, entry.options)) as env:
        try:
            return gymnasium_spec(entry.name, env)
        except InputError as error:
            raise InputError(f"{entry.name}: {error}") from error


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says. If `threads` > 1, each runs in a process.

    Raises:
        InputError: as in `spec`.
    """
    return GymnasiumVector(functools.partial(_make, entry.env, entry.options), spec(entry), seeds, threads)


def _make(env: str, options: dict[str, Any]) -> Any:
    import gymnasium

    try:
        module, _, name = env.rpartition(":")
        maker = getattr(import_user_module(module), name, None) if module else None
        if maker is not None:
            return _call_maker(maker, options)
        if module and name not in gymnasium.registry:
            raise ImportError(f"{module} has no {name!r}, and registers no environment of this id")
        return _make_by_id(name, options)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError) as error:
        raise InputError(f"gymnasium/{env}: {brief(error)}") from error


def _call_maker(maker: Any, options: dict[str, Any]) -> Any:
    import gymnasium

    arguments = dict(options)
    limit = arguments.pop("max_episode_steps", None)
    made = maker(**arguments)
    return gymnasium.wrappers.TimeLimit(made, limit) if limit else made


def _make_by_id(name: str, options: dict[str, Any]) -> Any:
    """Makes an environment that can be drawn, if it supports drawing. Raises ImportError that says what to install."""
    import gymnasium

    _register(name)
    make = functools.partial(gymnasium.make, name, disable_env_checker=True, **options)
    try:
        made = make()
    except (gymnasium.error.NamespaceNotFound, gymnasium.error.NameNotFound) as error:
        hint = "if a package registers the id, write gymnasium/MODULE:ID, where MODULE is the package to import"
        raise ImportError(f"{brief(error)} ({hint})") from error
    if "render_mode" in options or "rgb_array" not in (made.metadata.get("render_modes") or ()):
        return made
    # Only the environment knows whether it can draw, but drawing has to be requested when it is made.
    made.close()
    return make(render_mode="rgb_array")


def _register(name: str) -> None:
    """Imports the package that registers a well-known id. Raises ImportError that says what to install."""
    import gymnasium

    found = next((known for start, known in REGISTERED_BY.items() if name.startswith(start)), None)
    if found is None or name in gymnasium.registry:
        return
    module, package = found
    try:
        importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{package} registers it: pip install '{package}' ({brief(error)})") from error
