"""BabyAI's and MiniGrid's levels: a mission in words, a 7×7×3 grid of what the agent sees, and where it faces."""

from typing import Any

import numpy as np

from gato_dist.envs.vector import EnvpoolVector, import_envpool
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

# minigrid's object types, colours and door states all stay below this.
GRID_VALUES = 11
ACTIONS = 7


def spec(entry: TaskEntry) -> TaskSpec:
    """BabyAI's levels draw their own limits, episode by episode: `max_steps` is 0 there."""
    made = import_envpool().make_spec(entry.env, **entry.options)
    return TaskSpec(
        entry.name,
        (
            ObservationSpec("mission", Modality.TEXT),
            ObservationSpec("direction", Modality.DISCRETE, (), 4),
            ObservationSpec("grid", Modality.DISCRETE, (7, 7, 3), GRID_VALUES),
        ),
        ActionSpec(Modality.DISCRETE, num_values=(ACTIONS,)),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    decode = import_envpool().minigrid.decode_mission

    def adapt(observation: Any) -> dict[str, Any]:
        missions = decode(observation["mission"])
        texts = [str(mission) for mission in np.atleast_1d(missions)]
        return {"mission": texts, "direction": observation["direction"], "grid": observation["image"]}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, entry.options, adapt, success="goal")
