"""ALE games: one RGB frame of 64×80 pixels a step, 20 patches (paper, section F); no sticky actions."""

from typing import Any

from gato_dist.envs.vector import EnvpoolVector, import_envpool
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

HEIGHT, WIDTH = 64, 80
OPTIONS: dict[str, Any] = {"gray_scale": False, "stack_num": 1, "img_height": HEIGHT, "img_width": WIDTH}


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **OPTIONS | entry.options)
    return TaskSpec(
        entry.name,
        (ObservationSpec("image", Modality.IMAGE, (HEIGHT, WIDTH, 3)),),
        ActionSpec(Modality.DISCRETE, num_values=(int(made.action_space.n),)),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    def adapt(frames: Any) -> dict[str, Any]:
        return {"image": frames.transpose(0, 2, 3, 1)}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, OPTIONS | entry.options, adapt)
