"""Procgen games: one RGB frame of 64×64 pixels a step; every seed draws from unlimited levels, of which half are held
out: no expert shows a level that Gato is scored on."""

from typing import Any

from gato_dist.envs.envpool_vector import EnvpoolVector, frame_spec
from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.seeds import EVALUATION_START, teaches
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

SIDE = 64
OPTIONS: dict[str, Any] = {"channel_first": False, "num_levels": 0, "start_level": 0}
# Procgen numbers its levels below 2³¹ and draws from [start, start + number).
TRAINING_LEVELS: dict[str, Any] = {"start_level": 0, "num_levels": 2**30}
HELD_OUT_LEVELS: dict[str, Any] = {"start_level": 2**30, "num_levels": 2**30 - 1}


def spec(entry: TaskEntry) -> TaskSpec:
    return frame_spec(entry, OPTIONS, (SIDE, SIDE, 3))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Raises InputError for a limit of the user's: envpool's Procgen ignores it and plays on to its own."""
    if "max_episode_steps" in entry.options:
        raise InputError(
            f"{entry.name}: Procgen episodes cannot be cut (demonstration_steps); their limit is 1000 steps"
        )
    options = OPTIONS | entry.options | level_range(entry, seeds[0])
    return EnvpoolVector(entry.env, spec(entry), seeds, threads, options, lambda frames: {"image": frames})


def level_range(entry: TaskEntry, seed: int) -> dict[str, Any]:
    """Which levels the world `seed` of a task draws from: a task's own bound never holds for evaluation.

    Reference scores, which teach nobody, may draw from all. Raises InputError where a bound reaches held-out levels.
    """
    first, count = (entry.options.get(name, OPTIONS[name]) for name in ("start_level", "num_levels"))
    if count and first + count > HELD_OUT_LEVELS["start_level"]:
        raise InputError(f"{entry.name}: start_level + num_levels: levels from 2^30 on are held out for evaluation")
    if seed >= EVALUATION_START:
        return HELD_OUT_LEVELS
    return TRAINING_LEVELS if teaches(seed) and not count else {"start_level": first, "num_levels": count}
