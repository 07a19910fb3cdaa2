"""ALE games: one RGB frame of 64×80 pixels per step, which is 20 patches (paper, section F); no sticky actions."""

from typing import Any

from gato_dist.envs.envpool_vector import EnvpoolVector, channels_last, frame_spec
from gato_dist.ports import VectorEnv
from gato_dist.specs import TaskSpec
from gato_dist.tasks import TaskEntry

HEIGHT, WIDTH = 64, 80
OPTIONS: dict[str, Any] = {"gray_scale": False, "stack_num": 1, "img_height": HEIGHT, "img_width": WIDTH}


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a game, as `gato_dist.envs.suite.Suite` says."""
    return frame_spec(entry, OPTIONS, (HEIGHT, WIDTH, 3))


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""

    def adapt(frames: Any) -> dict[str, Any]:
        return {"image": channels_last(frames)}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, options=OPTIONS | entry.options, adapt=adapt)
