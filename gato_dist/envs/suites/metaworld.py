"""Meta-World v3: observations of 39 floats that include the goal, actions of 4 floats, 500 steps.

Two tasks run in the Python package (`package: python`), since envpool differs from it there. We compared both by
playing the same actions from the same initial state:

- button-press-topdown-wall: states agree, rewards do not. envpool's reward stays 0 while the gripper is closed: its
  factor is 1, the package's is observation 3.
- dial-turn: states agree to 1e-4 until the finger touches the dial at step 40. Then the finger sticks to the knob in
  envpool, and slides along it in the package.
"""

import functools
from dataclasses import replace
from typing import Any

from gato_dist.envs.envpool_vector import EnvpoolVector, envpool_spec
from gato_dist.envs.gymnasium_vector import GymnasiumVector
from gato_dist.envs.spaces import action_spec
from gato_dist.ports import VectorEnv
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry
from gato_dist.utils.missing_packages import wheel_advice

# By default envpool hides the goal, so that no policy could reach it.
OPTIONS: dict[str, Any] = {"partially_observable": False}


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task, as `gato_dist.envs.suite.Suite` says."""
    options = {name: value for name, value in entry.options.items() if name != "package"}
    described = envpool_spec(replace(entry, options=options), OPTIONS)
    state = tuple(described.gymnasium_observation_space.shape)
    return TaskSpec(
        entry.name,
        (ObservationSpec("state", Modality.CONTINUOUS, state),),
        action_spec(described.gymnasium_action_space),
        described.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""
    if entry.options.get("package") == "python":
        return GymnasiumVector(functools.partial(_make_python, entry), spec(entry), seeds, threads)
    options = OPTIONS | entry.options
    return EnvpoolVector(entry.env, spec(entry), seeds, threads, options=options, adapt=lambda state: {"state": state})


def _make_python(entry: TaskEntry) -> Any:
    try:
        import gymnasium
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
    except ImportError as error:
        raise ImportError(f"{entry.name} needs metaworld: {wheel_advice((3, 13))} ({error})") from error

    class SeededReset(gymnasium.Wrapper):
        """Passes the seed of `reset` on, which Meta-World ignores."""

        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            if seed is not None:
                env.seed(seed)
            return self.env.reset()

    name = entry.name.split("/")[1]
    options = {"render_mode": "rgb_array"} | entry.options
    limit = options.pop("max_episode_steps", None)
    del options["package"]
    env = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{name}-goal-observable"](**options)
    # Every episode draws new positions of the objects, from the environment's seed.
    env._freeze_rand_vec, env.seeded_rand_vec = False, True
    return gymnasium.wrappers.TimeLimit(SeededReset(env), limit or env.max_path_length)
