"""Procgen games: one RGB frame of 64×64 pixels per step.

Levels are unlimited. Half of them are held out: no expert shows a level on which Gato is scored.
"""

from typing import Any

from gato_dist.envs.envpool_vector import EnvpoolVector, frame_spec
from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.seeds import EVALUATION_START, is_training_seed
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

SIDE = 64
OPTIONS: dict[str, Any] = {"channel_first": False, "num_levels": 0, "start_level": 0}
# Procgen numbers its levels below 2³¹ and draws from [start, start + number).
TRAINING_LEVELS: dict[str, Any] = {"start_level": 0, "num_levels": 2**30}
HELD_OUT_LEVELS: dict[str, Any] = {"start_level": 2**30, "num_levels": 2**30 - 1}


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a game, as `gato_dist.envs.suite.Suite` says."""
    return frame_spec(entry, OPTIONS, (SIDE, SIDE, 3))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says.

    Raises:
        InputError: if the options limit episodes. envpool's Procgen would ignore the limit.
    """
    if "max_episode_steps" in entry.options:
        raise InputError(
            f"{entry.name}: Procgen episodes cannot be cut (demonstration_steps); their limit is 1000 steps"
        )
    options = OPTIONS | entry.options | level_range(entry, seeds[0])
    return EnvpoolVector(
        entry.env, spec(entry), seeds, threads, options=options, adapt=lambda frames: {"image": frames}
    )


def level_range(entry: TaskEntry, seed: int) -> dict[str, Any]:
    """Returns the options that choose the levels of an environment.

    Evaluation seeds get the held-out levels, whatever the task's options are. Reference scores, from which nothing is
    learned, may use all levels.

    Args:
        entry: the task. Its options may limit the levels.
        seed: seed of the environment.

    Raises:
        InputError: if the task's options reach into the held-out levels.
    """
    first, count = (entry.options.get(name, OPTIONS[name]) for name in ("start_level", "num_levels"))
    if count and first + count > HELD_OUT_LEVELS["start_level"]:
        raise InputError(f"{entry.name}: start_level + num_levels: levels from 2^30 on are held out for evaluation")
    if seed >= EVALUATION_START:
        return HELD_OUT_LEVELS
    return TRAINING_LEVELS if is_training_seed(seed) and not count else {"start_level": first, "num_levels": count}
