"""Environments from envpool behind the `VectorEnv` interface."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from gato_dist.envs.matplotlib_cache import set_matplotlib_cache
from gato_dist.envs.qt import load_qt5
from gato_dist.episode import Observations
from gato_dist.ports import Array, TimeStep
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

Adapt = Callable[[Any], Observations]


class EnvpoolVector:
    """One envpool with an environment per seed.

    Make it inside the process that steps it: after a fork, envpool hangs.
    """

    def __init__(
        self,
        env_id: str,
        spec: TaskSpec,
        seeds: list[int],
        threads: int,
        *,
        options: dict[str, Any],
        adapt: Adapt,
        success: str = "success",
    ) -> None:
        """Makes the environments.

        Args:
            env_id: envpool's name, such as `Pong-v5`.
            spec: the task's observations and actions.
            seeds: one per environment.
            threads: envpool's worker threads.
            options: keyword arguments of the environment.
            adapt: turns envpool's batch of observations into named parts.
            success: the key of envpool's info that reports success; `goal` if a positive reward in the last step means
                that the goal was reached.

        Raises:
            ImportError: if envpool is missing.
        """
        self.spec, self.seeds = spec, list(seeds)
        self._adapt, self._success = adapt, success
        self._env = import_envpool().make_gymnasium(
            env_id, num_envs=len(seeds), num_threads=threads, env_seed=self.seeds, render_mode="rgb_array", **options
        )
        # envpool needs the ids of the environments with every step. Without them it reads all of its configuration to
        # find them, each time.
        ids = np.arange(len(seeds), dtype=np.int32)
        self._id_arrays = {"env_id": ids, "players.env_id": ids}
        arrays = self._env.spec.action_array_spec
        (self._action_name,) = arrays.keys() - self._id_arrays.keys()
        self._action_dtype = arrays[self._action_name].dtype

    def reset(self) -> TimeStep:
        return self.restart(np.arange(len(self.seeds)))

    def step(self, actions: Array) -> TimeStep:
        actions = np.ascontiguousarray(actions, self._action_dtype)
        return self._time_step(*self._env.step(self._id_arrays | {self._action_name: actions}))

    def render(self, row: int, camera: int = -1) -> Array:
        """Draws environment `row`, as `pictures.Renderable` says.

        Raises:
            RuntimeError: if MuJoCo cannot draw, for want of EGL.
        """
        picture: Array = self._env.render(env_ids=row, camera_id=camera)[0]
        return picture

    def restart(self, env_ids: Array) -> TimeStep:
        """Begins a new episode in some environments; the others do not move.

        Args:
            env_ids: indices of environments, int [M].

        Returns:
            The first observations of these environments, [M, ...].
        """
        observation, info = self._env.reset(np.asarray(env_ids, np.int32))
        count = len(env_ids)
        return self._time_step(observation, np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), info)

    def close(self) -> None:
        self._env.close()

    def _time_step(
        self, observation: Any, rewards: Array, terminated: Array, truncated: Array, info: dict[str, Any]
    ) -> TimeStep:
        success = np.asarray(info[self._success]) > 0 if self._success in info else None
        if self._success == "goal":
            success = np.asarray(terminated & (rewards > 0))
        arrays = {name: value for name, value in info.items() if isinstance(value, np.ndarray)}
        return TimeStep(
            self._adapt(observation), np.asarray(rewards, np.float32), np.asarray(terminated, bool),
            np.asarray(truncated, bool), success, arrays,
        )  # fmt: skip


def envpool_spec(entry: TaskEntry, options: dict[str, Any]) -> Any:
    """Returns envpool's own description of an environment: its spaces and its configuration.

    Args:
        entry: the task.
        options: the suite's keyword arguments; the task's own options override them.
    """
    return import_envpool().make_spec(entry.env, **options | entry.options)


def frame_spec(entry: TaskEntry, options: dict[str, Any], shape: tuple[int, int, int]) -> TaskSpec:
    """Returns the spec of a game with one frame as observation and one choice among buttons as action.

    Args:
        entry: the task.
        options: the suite's keyword arguments.
        shape: height, width and channels of the frame.
    """
    described = envpool_spec(entry, options)
    return TaskSpec(
        entry.name,
        (ObservationSpec("image", Modality.IMAGE, shape),),
        ActionSpec(Modality.DISCRETE, num_values=(int(described.action_space.n),)),
        described.config.max_episode_steps,
    )


def channels_last(frames: Array) -> Array:
    """Copies frames, uint8 [N, C, H, W], to [N, H, W, C]."""
    count, channels, height, width = frames.shape
    pixels = np.empty((count, height, width, channels), frames.dtype)
    # numpy copies a transposed array three bytes at a time, which takes five times as long as channel by channel.
    for channel in range(channels):
        pixels[..., channel] = frames[:, channel]
    return pixels


def import_envpool() -> Any:
    """Imports envpool.

    Raises:
        ImportError: if envpool or Qt5 is missing. The message says what to install.
    """
    set_matplotlib_cache()
    try:
        load_qt5()
        import envpool
    except ImportError as error:
        raise ImportError(f"environments need envpool: pip install 'gato-dist[suites]' ({error})") from error
    _fix_unbounded_scalars()
    return envpool


@cache
def _fix_unbounded_scalars() -> None:
    """Makes envpool's specs of scalars without bounds readable under numpy 1.

    envpool asks `np.isclose` about the largest float as an integer, which numpy 1 cannot hold and refuses with a
    TypeError. The right answer is None: such a bound does not belong to a discrete range.
    """
    from envpool.python import data

    original = data._maybe_scalar_int

    def maybe_scalar_int(value: Any) -> int | None:
        try:
            answer: int | None = original(value)
        except TypeError:
            return None
        return answer

    data._maybe_scalar_int = maybe_scalar_int
