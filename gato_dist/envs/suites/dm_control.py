"""DeepMind Control suite from state: each named tensor of the observation is a part."""

from typing import Any

from gato_dist.envs.envpool_vector import EnvpoolVector, import_envpool
from gato_dist.episode import Observations
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **entry.options)
    parts = made.gymnasium_observation_space.spaces.items()
    box = made.gymnasium_action_space
    return TaskSpec(
        entry.name,
        tuple(ObservationSpec(name, Modality.CONTINUOUS, tuple(part.shape)) for name, part in parts),
        ActionSpec(
            Modality.CONTINUOUS,
            tuple(box.shape),
            low=tuple(box.low.ravel().tolist()),
            high=tuple(box.high.ravel().tolist()),
        ),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    def adapt(observation: Any) -> Observations:
        return dict(observation)

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, entry.options, adapt)
