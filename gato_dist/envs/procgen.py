"""Procgen games: one RGB frame of 64×64 pixels a step; every seed draws from unlimited levels."""

from typing import Any

from gato_dist.envs.vector import EnvpoolVector, frame_spec
from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

SIDE = 64
OPTIONS: dict[str, Any] = {"channel_first": False, "num_levels": 0, "start_level": 0}


def spec(entry: TaskEntry) -> TaskSpec:
    return frame_spec(entry, OPTIONS, (SIDE, SIDE, 3))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Raises InputError for a limit of the user's: envpool's Procgen ignores it and plays on to its own."""
    if "max_episode_steps" in entry.options:
        raise InputError(
            f"{entry.name}: Procgen episodes cannot be cut (demonstration_steps); their limit is 1000 steps"
        )
    return EnvpoolVector(
        entry.env, spec(entry), seeds, threads, OPTIONS | entry.options, lambda frames: {"image": frames}
    )
