"""VizDoom's scenarios: one RGB frame of 64×80 pixels per step, and a choice among combinations of buttons.

Rewards are envpool's. They come from changes of the game's variables (health, kills, ammunition), not the scenario's.
"""

import contextlib
import os
import tempfile
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector, channels_last, frame_spec
from gato_dist.episode import Observations
from gato_dist.ports import Array, TimeStep, VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

HEIGHT, WIDTH = 64, 80
OPTIONS: dict[str, Any] = {
    "stack_num": 1, "img_height": HEIGHT, "img_width": WIDTH, "use_combined_action": True,
}  # fmt: skip


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a scenario, as `gato_dist.envs.suite.Suite` says."""
    return frame_spec(entry, OPTIONS, (HEIGHT, WIDTH, 3))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""
    return _VizdoomVector(entry.env, spec(entry), seeds, threads, options=OPTIONS | entry.options, adapt=_adapt)


def _adapt(frames: Any) -> Observations:
    """Turns frames, uint8 [N, 1 or 3, H, W], into [N, H, W, 3]. Some scenarios are grey."""
    colours = np.repeat(frames, 3, axis=1) if frames.shape[1] == 1 else frames
    return {"image": channels_last(colours)}


class _VizdoomVector(EnvpoolVector):
    """Gives VizDoom a temporary working directory, since it writes its settings there whenever a game starts."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Each game makes this folder if it is missing. If two games make it at once, the process ends.
        os.mkdir(os.path.join(self._folder.name, "_vizdoom"))
        with contextlib.chdir(self._folder.name):
            super().__init__(*arguments, **options)

    def reset(self) -> TimeStep:
        with contextlib.chdir(self._folder.name):
            return super().reset()

    def step(self, actions: Array) -> TimeStep:
        with contextlib.chdir(self._folder.name):
            return super().step(actions)

    def close(self) -> None:
        super().close()
        # The games end, and save their settings, only when envpool's object is deleted.
        del self._env
        self._folder.cleanup()
