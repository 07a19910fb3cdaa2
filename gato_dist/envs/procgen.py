"""Procgen games: one RGB frame of 64×64 pixels a step; every seed draws from unlimited levels."""

from typing import Any

from gato_dist.envs.vector import EnvpoolVector, import_envpool
from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

OPTIONS: dict[str, Any] = {"channel_first": False, "num_levels": 0, "start_level": 0}


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **OPTIONS | entry.options)
    return TaskSpec(
        entry.name,
        (ObservationSpec("image", Modality.IMAGE, tuple(made.observation_space.shape)),),
        ActionSpec(Modality.DISCRETE, num_values=(int(made.action_space.n),)),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Raises InputError for a limit of the user's: envpool's Procgen ignores it and plays on to its own."""
    if "max_episode_steps" in entry.options:
        raise InputError(
            f"{entry.name}: Procgen episodes cannot be cut (demonstration_steps); their limit is 1000 steps"
        )
    return EnvpoolVector(
        entry.env, spec(entry), seeds, threads, OPTIONS | entry.options, lambda frames: {"image": frames}
    )
