"""envpool behind the `VectorEnv` port."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_dist.envs.matplotlib_cache import set_matplotlib_cache
from gato_dist.envs.qt import load_qt5
from gato_dist.episode import Observations
from gato_dist.ports import TimeStep
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

Adapt = Callable[[Any], Observations]


class EnvpoolVector:
    """One envpool of `len(seeds)` environments. Make it inside the process that steps it: it survives no fork.

    adapt: turns envpool's observation into named parts. success: the name in envpool's info that tells of it, or
    `goal` where a reward at the end means that the goal was reached.
    """

    def __init__(
        self,
        env_id: str,
        spec: TaskSpec,
        seeds: list[int],
        threads: int,
        options: dict[str, Any],
        adapt: Adapt,
        success: str = "success",
    ) -> None:
        self.spec, self.seeds = spec, list(seeds)
        self._adapt, self._success = adapt, success
        self._env = import_envpool().make_gymnasium(
            env_id, num_envs=len(seeds), num_threads=threads, env_seed=self.seeds, render_mode="rgb_array", **options
        )
        # Named in full: without the ids envpool reads all of its configuration to find them, at every step.
        ids = np.arange(len(seeds), dtype=np.int32)
        self._sent = {"env_id": ids, "players.env_id": ids}
        sent = self._env.spec.action_array_spec
        (self._action_name,) = sent.keys() - self._sent.keys()
        self._action_dtype = sent[self._action_name].dtype

    def reset(self) -> TimeStep:
        return self.restart(np.arange(len(self.seeds)))

    def step(self, actions: np.ndarray) -> TimeStep:
        actions = np.ascontiguousarray(actions, self._action_dtype)
        return self._time_step(*self._env.step(self._sent | {self._action_name: actions}))

    def render(self, row: int, camera: int = -1) -> np.ndarray:
        """As `pictures.Renderable`; until it is called, drawing costs nothing. Raises RuntimeError without EGL."""
        return self._env.render(env_ids=row, camera_id=camera)[0]

    def restart(self, env_ids: np.ndarray) -> TimeStep:
        """First observations [len(env_ids), ...] of a new episode in these environments; the others do not move."""
        observation, info = self._env.reset(np.asarray(env_ids, np.int32))
        count = len(env_ids)
        return self._time_step(observation, np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), info)

    def close(self) -> None:
        self._env.close()

    def _time_step(
        self, observation: Any, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict
    ) -> TimeStep:
        success = np.asarray(info[self._success]) > 0 if self._success in info else None
        if self._success == "goal":
            success = np.asarray(terminated & (rewards > 0))
        plain = {name: value for name, value in info.items() if isinstance(value, np.ndarray)}
        return TimeStep(
            self._adapt(observation), np.asarray(rewards, np.float32), np.asarray(terminated, bool),
            np.asarray(truncated, bool), success, plain,
        )  # fmt: skip


def frame_spec(entry: TaskEntry, options: dict[str, Any], shape: tuple[int, int, int]) -> TaskSpec:
    """The layout of a game: one frame of `shape`, one choice among actions."""
    made = import_envpool().make_spec(entry.env, **options | entry.options)
    return TaskSpec(
        entry.name,
        (ObservationSpec("image", Modality.IMAGE, shape),),
        ActionSpec(Modality.DISCRETE, num_values=(int(made.action_space.n),)),
        made.config.max_episode_steps,
    )


def channels_last(frames: np.ndarray) -> np.ndarray:
    """uint8 [N, 3, H, W] to uint8 [N, H, W, 3]."""
    count, channels, height, width = frames.shape
    pixels = np.empty((count, height, width, channels), frames.dtype)
    # Channel by channel: numpy copies a transposed array three bytes at a time, which takes five times as long.
    for channel in range(channels):
        pixels[..., channel] = frames[:, channel]
    return pixels


def import_envpool() -> Any:
    """The envpool module. Raises ImportError that names what to install."""
    set_matplotlib_cache()
    try:
        load_qt5()
        import envpool
    except ImportError as error:
        raise ImportError(f"environments need envpool: pip install 'gato-dist[suites]' ({error})") from error
    _mend_unbounded_scalars()
    return envpool


def _mend_unbounded_scalars() -> None:
    """Makes envpool's specifications of scalars without bounds readable under numpy 1.

    envpool asks `np.isclose` about the largest float as a whole number, which numpy 1 cannot hold and refuses with
    a TypeError; the answer, that such a bound is not one of a discrete range, is None.
    """
    from envpool.python import data

    ask = data._maybe_scalar_int
    if getattr(ask, "mended", False):
        return

    def maybe_scalar_int(value: Any) -> int | None:
        try:
            return ask(value)
        except TypeError:
            return None

    maybe_scalar_int.mended = True  # type: ignore[attr-defined]
    data._maybe_scalar_int = maybe_scalar_int
