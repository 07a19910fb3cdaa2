"""DeepMind Control suite from pixels: one RGB frame of 64×80 pixels per step, drawn by MuJoCo through EGL.

The state stays in the info, for experts that need it.
"""

import ctypes
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector
from gato_dist.envs.suites import dm_control
from gato_dist.ports import TimeStep, VectorEnv
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

HEIGHT, WIDTH, CAMERA = 64, 80, 0


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task, as `gato_dist.envs.suite.Suite` says."""
    state = dm_control.spec(entry)
    image = ObservationSpec("image", Modality.IMAGE, (HEIGHT, WIDTH, 3))
    return TaskSpec(entry.name, (image,), state.action, state.max_steps)


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says.

    Raises:
        ImportError: if this machine has no EGL.
    """
    _load_egl()
    options = entry.options | {"render_width": WIDTH, "render_height": HEIGHT}
    return _PixelVector(entry.env, spec(entry), seeds, threads, options=options, adapt=dict)


class _PixelVector(EnvpoolVector):
    """Draws every environment after each step. On a CPU that takes far longer than the physics."""

    def _time_step(self, *returned: Any) -> TimeStep:
        step = super()._time_step(*returned)
        frames = np.asarray(self._env.render(env_ids=np.arange(len(self.seeds)), camera_id=CAMERA))
        return TimeStep(
            {"image": frames}, step.rewards, step.terminated, step.truncated, step.success,
            step.info | {name: np.asarray(values) for name, values in step.observations.items()},
        )  # fmt: skip


def _load_egl() -> None:
    """Loads OpenGL into the process. MuJoCo inside envpool searches only the libraries that are loaded already."""
    try:
        for name in ("libOpenGL.so.0", "libEGL.so.1"):
            ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise ImportError(f"pixels are drawn through EGL: apt-get install libegl1 libopengl0 ({error})") from error
