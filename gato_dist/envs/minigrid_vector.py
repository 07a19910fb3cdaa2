"""BabyAI's and MiniGrid's levels in Python, for experts, which must look inside them."""

import contextlib
import io
from functools import partial
from typing import Any

import numpy as np

from gato_dist.ports import TimeStep
from gato_dist.specs import TaskSpec


class MinigridVector:
    """The `VectorEnv` port over `len(seeds)` Python environments; `envs` are open to the expert.

    env_id: minigrid's name, made with `options`; max_steps: cuts episodes shorter than the level's own limit, which its
    rewards are measured by. Episode k of environment i is seeded from (seeds[i], k).
    """

    def __init__(
        self,
        env_id: str,
        spec: TaskSpec,
        seeds: list[int],
        max_steps: int | None = None,
        options: dict[str, Any] | None = None,
    ) -> None:
        try:
            import gymnasium
            import minigrid  # noqa: F401  (registers its environments)
        except ImportError as error:
            raise ImportError(f"this expert needs minigrid: pip install 'gato-dist[suites]' ({error})") from error
        self.spec, self.seeds = spec, list(seeds)
        make = partial(gymnasium.make, env_id, disable_env_checker=True, **options or {})
        self.envs: list[Any] = [make().unwrapped for _ in seeds]
        self._max_steps = max_steps
        self._streams = [np.random.default_rng(seed) for seed in seeds]
        self._resetting = np.zeros(len(seeds), bool)
        self._seen: list[dict[str, Any]] = [{} for _ in seeds]

    def reset(self) -> TimeStep:
        for i in range(len(self.envs)):
            self._begin(i)
        self._resetting[:] = False
        return self._time_step(np.zeros(len(self.envs)), np.zeros(len(self.envs), bool), np.zeros(len(self.envs), bool))

    def step(self, actions: np.ndarray) -> TimeStep:
        count = len(self.envs)
        rewards, terminated, truncated = np.zeros(count), np.zeros(count, bool), np.zeros(count, bool)
        for i, env in enumerate(self.envs):
            if self._resetting[i]:
                self._begin(i)
            else:
                self._seen[i], rewards[i], terminated[i], truncated[i], _ = env.step(int(actions[i]))
                truncated[i] |= self._max_steps is not None and env.step_count >= self._max_steps
        self._resetting = terminated | truncated
        return self._time_step(rewards, terminated, truncated)

    def render(self, row: int, camera: int = -1) -> np.ndarray:
        """The whole world, with what the agent sees lit up: as `pictures.Renderable`."""
        return self.envs[row].get_frame(highlight=True, tile_size=32)

    def close(self) -> None:
        for env in self.envs:
            env.close()

    def _begin(self, i: int) -> None:
        # minigrid's level sampler prints each level that it rejects.
        with contextlib.redirect_stdout(io.StringIO()):
            self._seen[i], _ = self.envs[i].reset(seed=int(self._streams[i].integers(2**31)))

    def _time_step(self, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> TimeStep:
        observations = {
            "mission": [seen["mission"] for seen in self._seen],
            "direction": np.array([seen["direction"] for seen in self._seen], np.int32),
            "grid": np.stack([seen["image"] for seen in self._seen]),
        }
        return TimeStep(observations, rewards.astype(np.float32), terminated, truncated, terminated & (rewards > 0), {})
