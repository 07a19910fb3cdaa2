"""Makes the environments that an expert gets, and closes them if the expert cannot be made."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gato_dist.envs.registry import make_env, task_spec
from gato_dist.ports import VectorEnv
from gato_dist.tasks import TaskEntry

if TYPE_CHECKING:
    from gato_dist.envs.minigrid_vector import MinigridVector


@dataclass(kw_only=True)
class EnvFactory:
    """Makes the environments of one task.

    Attributes:
        entry: the task.
        seeds: one per environment.
        threads: how many threads, or processes, may step the environments.
        max_steps: truncates episodes; None for the task's own limit.
        made: the environments that were made.
    """

    entry: TaskEntry
    seeds: list[int]
    threads: int = 1
    max_steps: int | None = None
    made: list[VectorEnv] = field(default_factory=list)

    def make(self) -> VectorEnv:
        """Makes the environments as the suite does; see `gato_dist.envs.registry.make_env`."""
        env = make_env(self.entry.name, self.seeds, self.threads, self.max_steps)
        self.made.append(env)
        return env

    def make_minigrid(self) -> "MinigridVector":
        """Makes a BabyAI or MiniGrid task in Python, for experts that read the environment's state."""
        from gato_dist.envs.minigrid_vector import MinigridVector

        options = dict(self.entry.options)
        limit = options.pop("max_episode_steps", None)
        spec = task_spec(self.entry.name)
        env = MinigridVector(self.entry.env, spec, self.seeds, self.max_steps or limit, options)
        self.made.append(env)
        return env

    def close(self) -> None:
        """Closes all environments that were made."""
        for env in self.made:
            env.close()
