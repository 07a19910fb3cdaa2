"""The interface of a suite: what a module of `gato_dist/envs/suites/` must define."""

from typing import Protocol, runtime_checkable

from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry


@runtime_checkable
class Suite(Protocol):
    """A family of environments. The module `gato_dist.envs.suites.<family>` is the implementation.

    To add the suite `toy`:

    1. Write `gato_dist/envs/suites/toy.py` with the two functions below. If the environments follow gymnasium's
       interface, this is the whole file:

           def spec(entry: TaskEntry) -> TaskSpec:
               with contextlib.closing(_make(entry)) as env:
                   return gymnasium_spec(entry.name, env)

           def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
               return GymnasiumVector(functools.partial(_make, entry), spec(entry), seeds, threads)

           def _make(entry: TaskEntry) -> gymnasium.Env:
               return toy.Environment(entry.env, **entry.options)

       `suites/mujoco.py` is the shortest example for environments from envpool.
    2. List the tasks in `gato_dist/assets/tasks/toy.yaml`, and write their specs: `python -m tests.contracts.layouts`.
    3. Add one task to `TASKS` in `tests/contracts/test_suites.py`. The tests there hold every suite to `VectorEnv`.
    """

    def spec(self, entry: TaskEntry) -> TaskSpec:
        """Returns the task's observations, actions and episode limit.

        Args:
            entry: the task; `entry.env` is the suite's own name of the environment.

        Raises:
            ImportError: if a package is missing. The message says how to install it.
        """
        ...

    def make(self, entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
        """Makes one environment per seed.

        Args:
            entry: the task; `entry.options` are keyword arguments of the environment. `max_episode_steps` among them
                truncates episodes.
            seeds: environment i draws its levels from `seeds[i]`. Seeds from `gato_dist.seeds.EVALUATION_START` on are
                held out: if a suite has a finite set of levels, these seeds get levels that no other seed gets.
            threads: how many threads, or processes, may step the environments.

        Raises:
            ImportError: if a package is missing. The message says how to install it.
        """
        ...
