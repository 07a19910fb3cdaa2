"""Functions that make experts: one per kind and suite. `actors.experts.registry` lists them.

Each imports its expert when it is called, so that a missing package concerns only the tasks that need it.
"""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.experts.demonstrator import Demonstrator
from actors.experts.env_factory import EnvFactory
from actors.experts.random_policy import RandomPolicy
from gato_dist.envs.registry import task_spec
from gato_dist.ports import Policy

Options = dict[str, Any]
# Makes an expert and its environments, given the expert's options. Wrong options raise TypeError or ValueError, missing
# packages ImportError.
Maker = Callable[[EnvFactory, Options], Demonstrator]


def make_metaworld_script(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes one of the scripts that Meta-World ships."""
    from actors.experts.scripts.metaworld import MetaWorldScript

    return Demonstrator(envs.make(), MetaWorldScript(envs.entry.name.split("/")[1], **options))


def make_vizdoom_script(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes a script for a VizDoom scenario."""
    from actors.experts.scripts.vizdoom import VizdoomScript

    script = VizdoomScript(envs.entry.env, len(envs.seeds), **options)
    return Demonstrator(envs.make(), script)


def make_arm_script(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes a script for the Jaco arm: reaching or grasping, as the task needs."""
    from actors.experts.scripts.grasp import GOALS, GraspScript
    from actors.experts.scripts.reach import TARGETS, ReachScript

    scripts = dict.fromkeys(TARGETS, ReachScript) | dict.fromkeys(GOALS, GraspScript)
    name = envs.entry.env
    if name not in scripts:
        raise ValueError(f"no script for {name}; there is one for {', '.join(scripts)}")
    env = envs.make()
    return Demonstrator(env, scripts[name](name, np.asarray(env.spec.action.high), **options))


def make_babyai_bot(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes BabyAI's bot."""
    from actors.experts.planners.babyai_bot import BabyAIBotExpert

    env = envs.make_minigrid()
    return Demonstrator(env, BabyAIBotExpert(env, **options))


def make_gridworld_planner(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes the A* planner for MiniGrid."""
    from actors.experts.planners.gridworld import GridworldPlanner

    env = envs.make_minigrid()
    return Demonstrator(env, GridworldPlanner(env, **options))


def planner(module: str, name: str) -> Maker:
    """Returns the maker of a planner class.

    Args:
        module: a module of `actors.experts.planners`.
        name: the class. It is called with the environment's name, the number of environments, a seed, and the options.
    """

    def make(envs: EnvFactory, options: Options) -> Demonstrator:
        planner_class = getattr(importlib.import_module(f"actors.experts.planners.{module}"), name)
        env = envs.make()
        return Demonstrator(env, planner_class(envs.entry.env, len(envs.seeds), envs.seeds[0], **options))

    return make


def ale_planner(module: str, name: str) -> Maker:
    """Returns the maker of a planner that searches in a shadow emulator. Arguments as for `planner`.

    The maker refuses environment options, such as sticky actions, with which no shadow emulator stays in step.
    """
    make_planner = planner(module, name)

    def make(envs: EnvFactory, options: Options) -> Demonstrator:
        from actors.experts.planners.ale_emulator import check_options

        check_options(envs.entry.options)
        return make_planner(envs, options)

    return make


def make_pixel_planner(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes the DM Control planner for a task whose observations are frames: it plans from the state in the info."""
    from actors.experts.state_expert import StateExpert
    from gato_dist.envs.suites import dm_control

    made = planner("dm_control", "ControlPlanner")(envs, options)
    parts = [part.name for part in dm_control.spec(envs.entry).observations]
    return Demonstrator(made.env, StateExpert(made.policy, parts))


def make_random(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes the random policy."""
    env = envs.make()
    return Demonstrator(env, RandomPolicy(env.spec.action, envs.seeds, **options))


def make_checkpoint(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes an expert from a trained policy's file."""
    expert = load_checkpoint(envs.entry.name, envs.seeds, options)
    return Demonstrator(envs.make(), expert)


def load_checkpoint(task: str, seeds: list[int], options: Options) -> Policy:
    """Loads a trained policy, without environments."""
    from actors.experts.rl.checkpoint import CheckpointExpert

    return CheckpointExpert(task_spec(task), seeds, **options)


def make_callable(envs: EnvFactory, options: Options) -> Demonstrator:
    """Makes an expert from the user's own code."""
    return Demonstrator(envs.make(), load_callable(envs.entry.name, envs.seeds, options))


def load_callable(task: str, seeds: list[int], options: Options) -> Policy:
    """Loads the user's own code, without environments."""
    from actors.experts.callable_expert import CallableExpert

    return CallableExpert(task_spec(task), seeds, **options)
