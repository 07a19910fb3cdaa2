"""Meta-World v3: 39 floats that show the goal, actions of 4 floats, 500 steps."""

from typing import Any

from gato_dist.envs.vector import EnvpoolVector, import_envpool
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

# envpool hides the goal by default, which no policy could then reach.
OPTIONS: dict[str, Any] = {"partially_observable": False}


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **OPTIONS | entry.options)
    box = made.gymnasium_action_space
    return TaskSpec(
        entry.name,
        (ObservationSpec("state", Modality.CONTINUOUS, tuple(made.gymnasium_observation_space.shape)),),
        ActionSpec(Modality.CONTINUOUS, tuple(box.shape), low=tuple(box.low.tolist()), high=tuple(box.high.tolist())),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    return EnvpoolVector(
        entry.env, spec(entry), seeds, threads, OPTIONS | entry.options, lambda state: {"state": state}
    )
