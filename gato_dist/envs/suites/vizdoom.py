"""VizDoom's scenarios: one frame of 64×80 pixels a step, and a choice among combinations of buttons.

Rewards are envpool's, which come from changes of the game's variables (health, kills, ammunition), not the scenario's.
"""

import contextlib
import os
import tempfile
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector, channels_last, frame_spec
from gato_dist.episode import Observations
from gato_dist.ports import TimeStep, VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

HEIGHT, WIDTH = 64, 80
OPTIONS: dict[str, Any] = {
    "stack_num": 1, "img_height": HEIGHT, "img_width": WIDTH, "use_combined_action": True,
}  # fmt: skip


def spec(entry: TaskEntry) -> TaskSpec:
    return frame_spec(entry, OPTIONS, (HEIGHT, WIDTH, 3))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    return _VizdoomVector(entry.env, spec(entry), seeds, threads, OPTIONS | entry.options, _adapt)


def _adapt(frames: Any) -> Observations:
    """uint8 [N, 1 or 3, H, W], grey in some scenarios, to [N, H, W, 3]."""
    colours = np.repeat(frames, 3, axis=1) if frames.shape[1] == 1 else frames
    return {"image": channels_last(colours)}


class _VizdoomVector(EnvpoolVector):
    """VizDoom writes its settings into the working directory whenever a game starts: it gets one that goes away."""

    def __init__(self, *arguments: Any) -> None:
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        # Each game makes this folder if it is missing, and one that another has just made ends the process.
        os.mkdir(os.path.join(self._folder.name, "_vizdoom"))
        with contextlib.chdir(self._folder.name):
            super().__init__(*arguments)

    def reset(self) -> TimeStep:
        with contextlib.chdir(self._folder.name):
            return super().reset()

    def step(self, actions: np.ndarray) -> TimeStep:
        with contextlib.chdir(self._folder.name):
            return super().step(actions)

    def close(self) -> None:
        super().close()
        # The games end, and save their settings, only when envpool's object goes.
        del self._env
        self._folder.cleanup()
