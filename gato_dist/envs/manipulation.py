"""dm_control.manipulation: a Jaco arm with bricks, from its features, in the Python package."""

import functools
from typing import Any

import numpy as np

from gato_dist.envs.python_vector import PythonVector, spec_of
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

STEP_SECONDS = 0.04
LIMIT_STEPS = 250  # the package's own limit of 10 seconds


def spec(entry: TaskEntry) -> TaskSpec:
    env = _make(entry.env, **entry.options)
    made = spec_of(entry.name, env)
    env.close()
    return TaskSpec(made.name, made.observations, made.action, entry.options.get("max_episode_steps", LIMIT_STEPS))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    return PythonVector(functools.partial(_make, entry.env, **entry.options), spec(entry), seeds, threads)


def _make(env: str, max_episode_steps: int = LIMIT_STEPS) -> Any:
    """A gymnasium environment around one of `dm_control.manipulation`. Raises ImportError without dm_control."""
    import os

    import gymnasium

    # Nothing is drawn here, and without a screen the default renderer complains.
    os.environ.setdefault("MUJOCO_GL", "disable")
    try:
        from dm_control import composer, manipulation
    except ImportError as error:
        raise ImportError(f"manipulation needs dm_control: pip install 'gato-dist[suites]' ({error})") from error

    class Manipulation(gymnasium.Env):
        """Seeded anew wherever `reset` is given a seed; rewards and flags are dm_env's."""

        def __init__(self) -> None:
            self._env: composer.Environment = manipulation.load(env, seed=0)
            self.observation_space = gymnasium.spaces.Dict(
                {name: _box(-np.inf, np.inf, part.shape[1:]) for name, part in self._env.observation_spec().items()}
            )
            action = self._env.action_spec()
            self.action_space = _box(action.minimum, action.maximum, action.shape)

        def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
            if seed is not None:
                self._env.random_state.seed(seed % 2**32)
            return self._seen(self._env.reset()), {}

        def step(self, action: np.ndarray) -> tuple[dict, float, bool, bool, dict]:
            now = self._env.step(action)
            over = now.last()
            return self._seen(now), float(now.reward or 0.0), over and now.discount == 0, over and now.discount > 0, {}

        def close(self) -> None:
            self._env.close()

        @staticmethod
        def _seen(now: Any) -> dict:
            return {name: values[0].astype(np.float64) for name, values in now.observation.items()}

    return gymnasium.wrappers.TimeLimit(Manipulation(), max_episode_steps)


def _box(low: Any, high: Any, shape: tuple[int, ...]) -> Any:
    from gymnasium.spaces import Box

    low, high = (np.broadcast_to(np.asarray(bound, np.float64), shape) for bound in (low, high))
    return Box(low, high, shape, dtype=np.float64)
