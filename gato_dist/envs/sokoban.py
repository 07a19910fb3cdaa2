"""Sokoban from Boxoban's levels: a 10×10 grid, whose cells tell agent (3) and box (4), wall (1) and target (2)."""

import os
from typing import Any

from gato_dist.envs.vector import EnvpoolVector, import_envpool
from gato_dist.episode import Observations
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

GRID_VALUES = 5


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **entry.options)
    grid = made.gymnasium_observation_space["grid"]
    return TaskSpec(
        entry.name,
        (ObservationSpec("grid", Modality.DISCRETE, tuple(grid.shape), GRID_VALUES),),
        ActionSpec(Modality.DISCRETE, num_values=(int(made.gymnasium_action_space.n),)),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    # envpool finds its levels only below this path, and else serves a single trivial one for ever.
    options = {"base_path": os.path.dirname(import_envpool().__file__)} | entry.options

    def adapt(observation: Any) -> Observations:
        return {"grid": observation["grid"]}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, options, adapt, success="solved")
