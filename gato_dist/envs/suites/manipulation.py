"""dm_control.manipulation: a Jaco arm with bricks, observed as features, in the Python package."""

import contextlib
import functools
import os
from typing import Any

import numpy as np

from gato_dist.envs.gymnasium_vector import GymnasiumVector, gymnasium_spec
from gato_dist.ports import Array, VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry
from gato_dist.utils.missing_packages import wheel_advice

PICTURE_SIZE = (320, 240)  # width, height
LIMIT_STEPS = 250  # the package's own limit of 10 seconds


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task, as `gato_dist.envs.suite.Suite` says."""
    with contextlib.closing(_make(entry.env, **entry.options)) as env:
        made = gymnasium_spec(entry.name, env)
    return TaskSpec(made.name, made.observations, made.action, entry.options.get("max_episode_steps", LIMIT_STEPS))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""
    return GymnasiumVector(functools.partial(_make, entry.env, **entry.options), spec(entry), seeds, threads)


def _make(env: str, max_episode_steps: int = LIMIT_STEPS) -> Any:
    """Wraps an environment of `dm_control.manipulation` for gymnasium. Raises ImportError without dm_control."""
    import gymnasium

    # The package's own renderer fails without a screen. It is not needed: `_Camera` draws the pictures.
    os.environ.setdefault("MUJOCO_GL", "disable")
    try:
        from dm_control import composer, manipulation
    except ImportError as error:
        raise ImportError(f"manipulation needs dm_control: {wheel_advice((3, 12))} ({error})") from error

    class Manipulation(gymnasium.Env):
        """Seeds the environment if `reset` gets a seed. Rewards and flags are dm_env's."""

        def __init__(self) -> None:
            self._env: composer.Environment = manipulation.load(env, seed=0)
            self._camera: _Camera | None = None
            self.observation_space = gymnasium.spaces.Dict(
                {name: _box(-np.inf, np.inf, part.shape[1:]) for name, part in self._env.observation_spec().items()}
            )
            action = self._env.action_spec()
            self.action_space = _box(action.minimum, action.maximum, action.shape)

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[dict[str, Array], dict[str, Any]]:
            if seed is not None:
                self._env.random_state.seed(seed % 2**32)
            return self._observation(self._env.reset()), {}

        def step(self, action: Array) -> tuple[dict[str, Array], float, bool, bool, dict[str, Any]]:
            now = self._env.step(action)
            done = now.last()
            return (
                self._observation(now),
                float(now.reward or 0.0),
                done and now.discount == 0,
                done and now.discount > 0,
                {},
            )

        def render(self) -> Array:
            physics = self._env.physics
            model, data = physics.model.ptr, physics.data.ptr
            # A new episode may have a new model.
            if self._camera is None or self._camera.model is not model:
                self._camera = _Camera(model)
            return self._camera.picture(data)

        def close(self) -> None:
            self._env.close()

        @staticmethod
        def _observation(now: Any) -> dict[str, Array]:
            return {name: values[0].astype(np.float64) for name, values in now.observation.items()}

    return gymnasium.wrappers.TimeLimit(Manipulation(), max_episode_steps)


class _Camera:
    """Draws a model from its first camera through EGL, even if MUJOCO_GL names another renderer.

    Raises:
        NotImplementedError: if this machine has no EGL.
    """

    def __init__(self, model: Any) -> None:
        try:
            import mujoco
            from mujoco.egl import GLContext
        except (ImportError, OSError, AttributeError) as error:
            raise NotImplementedError("pictures need EGL: apt-get install libegl1 libopengl0") from error
        self.model, self._mujoco = model, mujoco
        self._gl = GLContext(*PICTURE_SIZE)
        self._gl.make_current()
        self._scene = mujoco.MjvScene(model, maxgeom=2000)
        self._context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._view = mujoco.MjvCamera()
        self._view.type, self._view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0

    def picture(self, data: Any) -> Array:
        """Draws the physical state `data`: uint8 [240, 320, 3]."""
        mujoco, width, height = self._mujoco, *PICTURE_SIZE
        self._gl.make_current()
        options, everything = mujoco.MjvOption(), mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self.model, data, options, None, self._view, everything, self._scene)
        area, pixels = mujoco.MjrRect(0, 0, width, height), np.empty((height, width, 3), np.uint8)
        mujoco.mjr_render(area, self._scene, self._context)
        mujoco.mjr_readPixels(pixels, None, area, self._context)
        return np.flipud(pixels)


def _box(low: Any, high: Any, shape: tuple[int, ...]) -> Any:
    from gymnasium.spaces import Box

    low, high = (np.broadcast_to(np.asarray(bound, np.float64), shape) for bound in (low, high))
    return Box(low, high, shape, dtype=np.float64)
