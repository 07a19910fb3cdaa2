"""Gymnasium's MuJoCo tasks on envpool: one vector of floats a step."""

from gato_dist.envs.envpool_vector import EnvpoolVector, import_envpool
from gato_dist.envs.spaces import action_spec, observation_specs
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **entry.options)
    layout = observation_specs(made.gymnasium_observation_space)
    return TaskSpec(entry.name, layout, action_spec(made.gymnasium_action_space), made.config.max_episode_steps)


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    return EnvpoolVector(entry.env, spec(entry), seeds, threads, entry.options, lambda state: {"state": state})
