"""Gymnasium's MuJoCo tasks on envpool: one vector of floats per step."""

from gato_dist.envs.envpool_vector import EnvpoolVector, envpool_spec
from gato_dist.envs.spaces import action_spec, observation_specs
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task, as `gato_dist.envs.suite.Suite` says."""
    described = envpool_spec(entry, {})
    parts = observation_specs(described.gymnasium_observation_space)
    action = action_spec(described.gymnasium_action_space)
    return TaskSpec(entry.name, parts, action, described.config.max_episode_steps)


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""
    return EnvpoolVector(
        entry.env, spec(entry), seeds, threads, options=entry.options, adapt=lambda state: {"state": state}
    )
