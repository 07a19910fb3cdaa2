"""Meta-World v3: 39 floats that show the goal, actions of 4 floats, 500 steps.

Two tasks run in the Python package (`package: python`), where envpool differs from it. Both were traced by playing the
same actions from the same layout in either. button-press-topdown-wall: states agree and rewards do not; envpool's stays
0 while the gripper is closed (its factor is 1 where the package's is observation 3). dial-turn: states agree to 1e-4
until the finger touches the dial at step 40; then it sticks to the knob in envpool and slides along it in the package.
"""

import functools
from typing import Any

from gato_dist.envs.envpool_vector import EnvpoolVector, import_envpool
from gato_dist.envs.gymnasium_vector import GymnasiumVector
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry
from gato_dist.utils.missing_packages import wheel_advice

# envpool hides the goal by default, which no policy could then reach.
OPTIONS: dict[str, Any] = {"partially_observable": False}


def spec(entry: TaskEntry) -> TaskSpec:
    options = {name: value for name, value in entry.options.items() if name != "package"}
    made = import_envpool().make_spec(entry.env, **OPTIONS | options)
    box = made.gymnasium_action_space
    return TaskSpec(
        entry.name,
        (ObservationSpec("state", Modality.CONTINUOUS, tuple(made.gymnasium_observation_space.shape)),),
        ActionSpec(Modality.CONTINUOUS, tuple(box.shape), low=tuple(box.low.tolist()), high=tuple(box.high.tolist())),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    if entry.options.get("package") == "python":
        return GymnasiumVector(functools.partial(_make_python, entry), spec(entry), seeds, threads)
    return EnvpoolVector(
        entry.env, spec(entry), seeds, threads, OPTIONS | entry.options, lambda state: {"state": state}
    )


def _make_python(entry: TaskEntry) -> Any:
    try:
        import gymnasium
        import metaworld
    except ImportError as error:
        raise ImportError(f"{entry.name} needs metaworld: {wheel_advice((3, 13))} ({error})") from error

    class Seeded(gymnasium.Wrapper):
        """Meta-World leaves the seed that `reset` is given alone."""

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict]:
            if seed is not None:
                env.seed(seed)
            return self.env.reset()

    name = entry.name.split("/")[1]
    options = {"render_mode": "rgb_array"} | entry.options
    limit = options.pop("max_episode_steps", None)
    del options["package"]
    env = metaworld.ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{name}-goal-observable"](**options)
    # A layout of its own for every episode, drawn from the environment's seed.
    env._freeze_rand_vec, env.seeded_rand_vec = False, True
    return gymnasium.wrappers.TimeLimit(Seeded(env), limit or env.max_path_length)
