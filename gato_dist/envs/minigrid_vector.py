"""BabyAI's and MiniGrid's levels in Python, for experts that read the environment's state."""

import contextlib
import io
from functools import partial
from typing import Any

import numpy as np

from gato_dist.ports import Array, TimeStep
from gato_dist.specs import TaskSpec


class MinigridVector:
    """One Python environment per seed behind the `VectorEnv` interface.

    Episode k of environment i is seeded from (seeds[i], k).

    Attributes:
        spec: the task's observations and actions.
        seeds: one per environment.
        envs: minigrid's environments, for experts.
    """

    def __init__(
        self,
        env_id: str,
        spec: TaskSpec,
        seeds: list[int],
        max_steps: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        """Makes the environments.

        Args:
            env_id: minigrid's name.
            spec: the task's observations and actions.
            seeds: one per environment.
            max_steps: truncates episodes. Rewards still refer to the level's own limit.
            options: keyword arguments of the environment.

        Raises:
            ImportError: if minigrid is missing.
        """
        try:
            import gymnasium
            import minigrid  # noqa: F401  (registers its environments)
        except ImportError as error:
            raise ImportError(f"this expert needs minigrid: pip install 'gato-dist[suites]' ({error})") from error
        self.spec, self.seeds = spec, list(seeds)
        make = partial(gymnasium.make, env_id, disable_env_checker=True, **options or {})
        self.envs: list[Any] = [make().unwrapped for _ in seeds]
        self._max_steps = max_steps
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        self._resets_next = np.zeros(len(seeds), bool)
        self._observations: list[dict[str, Any]] = [{} for _ in seeds]

    def reset(self) -> TimeStep:
        count = len(self.envs)
        for i in range(count):
            self._begin(i)
        self._resets_next[:] = False
        return self._time_step(np.zeros(count), np.zeros(count, bool), np.zeros(count, bool))

    def step(self, actions: Array) -> TimeStep:
        count = len(self.envs)
        rewards, terminated, truncated = np.zeros(count), np.zeros(count, bool), np.zeros(count, bool)
        for i, env in enumerate(self.envs):
            if self._resets_next[i]:
                self._begin(i)
            else:
                self._observations[i], rewards[i], terminated[i], truncated[i], _ = env.step(int(actions[i]))
                truncated[i] |= self._max_steps is not None and env.step_count >= self._max_steps
        self._resets_next = terminated | truncated
        return self._time_step(rewards, terminated, truncated)

    def render(self, row: int, camera: int = -1) -> Array:
        """Draws the whole level with the agent's view highlighted, as `pictures.Renderable` says."""
        return np.asarray(self.envs[row].get_frame(highlight=True, tile_size=32))

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def _begin(self, i: int) -> None:
        # minigrid's level sampler prints each level that it rejects.
        with contextlib.redirect_stdout(io.StringIO()):
            self._observations[i], _ = self.envs[i].reset(seed=int(self._generators[i].integers(2**31)))

    def _time_step(self, rewards: Array, terminated: Array, truncated: Array) -> TimeStep:
        observations = {
            "mission": [each["mission"] for each in self._observations],
            "direction": np.array([each["direction"] for each in self._observations], np.int32),
            "grid": np.stack([each["image"] for each in self._observations]),
        }
        return TimeStep(observations, rewards.astype(np.float32), terminated, truncated, terminated & (rewards > 0), {})
