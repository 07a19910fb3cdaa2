"""Environments of Python packages behind the `VectorEnv` port, through gymnasium's own vectors."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gato_dist.envs.spaces import action_spec, first_action, observation_specs, read_observations
from gato_dist.episode import Observations
from gato_dist.errors import InputError, PlayError
from gato_dist.ports import TimeStep
from gato_dist.specs import Modality, TaskSpec
from gato_dist.value_checks import part_fault, reward_fault

SUCCESS = ("success", "is_success")


class GymnasiumVector:
    """One gymnasium environment per seed, in this process, or a process each where `threads` > 1.

    make: makes one environment. Success is read from `info["success"]` or `info["is_success"]`: an environment that
    leaves the key out had none in that step. `reset` and `step` raise PlayError, which names task, part and step, for a
    value outside the environment's spaces.
    """

    def __init__(self, make: Callable[[], Any], spec: TaskSpec, seeds: list[int], threads: int = 1) -> None:
        self.spec, self.seeds = spec, list(seeds)
        self._env: Any = _vector(make, spec, len(seeds), threads)
        self._quiet: AbstractContextManager = _Quiet() if threads > 1 else nullcontext()
        self._space = self._env.single_observation_space
        self._first = first_action(self._env.single_action_space)
        self._dtype = self._env.single_action_space.dtype
        self._first_seeds: list[int] | None = self.seeds
        self._steps = np.zeros(len(seeds), int)
        self._over = np.zeros(len(seeds), bool)

    def reset(self) -> TimeStep:
        # Seeded again, a later reset would begin the same worlds once more.
        with self._quiet:
            observation, info = self._env.reset(seed=self._first_seeds)
        self._first_seeds = None
        self._over[:] = True
        count = len(self.seeds)
        return self._time_step(observation, np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), info)

    def step(self, actions: np.ndarray) -> TimeStep:
        sent = np.asarray(actions).astype(self._dtype) + self._first
        with self._quiet:
            returned = self._env.step(sent)
        return self._time_step(*returned)

    def render(self, row: int, camera: int = -1) -> np.ndarray:
        """As `pictures.Renderable`; the environment chose its camera when it was made. Raises InputError without one."""
        # gymnasium cannot draw environments in worker processes, and its base class raises NotImplementedError.
        environments = getattr(self._env, "envs", None)
        try:
            picture = environments[row].render() if environments else None
        except NotImplementedError:
            picture = None
        if picture is None:
            raise InputError(f"{self.spec.name}: has no picture: its environment does not draw as rgb_array")
        return np.asarray(picture)

    def close(self) -> None:
        self._env.close()

    def _time_step(
        self, observation: Any, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray, info: dict
    ) -> TimeStep:
        self._steps = np.where(self._over, 0, self._steps + 1)
        self._over = np.asarray(terminated) | np.asarray(truncated)
        seen, rewards = read_observations(self._space, observation), np.asarray(rewards, np.float32)
        self._check(seen, rewards)
        return TimeStep(seen, rewards, terminated, truncated, self._success(info), {})

    def _check(self, seen: Observations, rewards: np.ndarray) -> None:
        for part in self.spec.observations:
            # Of pictures and texts, `CheckedEnv` has seen all that can be wrong.
            numbers = part.modality in (Modality.DISCRETE, Modality.CONTINUOUS)
            if numbers and (fault := part_fault(part, seen[part.name])):
                raise PlayError(f"{self.spec.name}, {part.name}, step {self._steps[fault[0]]}: {fault[1]}")
        if fault := reward_fault(rewards):
            # A reward belongs to the step before what is seen with it.
            raise PlayError(f"{self.spec.name}, rewards, step {self._steps[fault[0]] - 1}: {fault[1]}")

    def _success(self, info: dict[str, Any]) -> np.ndarray | None:
        """bool [N]: whether an environment told of success in this step; None if none told anything."""
        success: np.ndarray | None = None
        for name in SUCCESS:
            if name not in info:
                continue
            # gymnasium's vectors say beside each key which of the environments gave it.
            told = info[f"_{name}"]
            try:
                values = np.asarray(np.asarray(info[name])[told], np.float32).reshape(int(told.sum()))
            except (TypeError, ValueError, IndexError) as error:
                raise PlayError(f"{self.spec.name}, info[{name!r}]: must be True, False or a number") from error
            success = np.zeros(len(self.seeds), bool) if success is None else success
            success[told] |= values > 0
        return success


def gymnasium_spec(name: str, env: Any) -> TaskSpec:
    """The layout of one gymnasium environment. Raises InputError for spaces that have no tokens."""
    limit = env.spec.max_episode_steps if env.spec else None
    return TaskSpec(name, observation_specs(env.observation_space), action_spec(env.action_space), limit or 0)


def _vector(make: Callable[[], Any], spec: TaskSpec, count: int, threads: int) -> Any:
    """gymnasium's vector of `count` checked environments. None of them stays open where one cannot be made."""
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

    from gato_dist.envs.checked_env import CheckedEnv

    made: list[Any] = []

    def make_checked() -> Any:
        made.append(make())
        return CheckedEnv(made[-1], spec.name)

    makers, mode = [make_checked] * count, AutoresetMode.NEXT_STEP
    if threads > 1:
        # Shared memory holds texts of the space's own letters alone, and no space that gymnasium does not know.
        texts = any(part.modality is Modality.TEXT for part in spec.observations)
        return AsyncVectorEnv(makers, autoreset_mode=mode, shared_memory=not texts)
    try:
        return SyncVectorEnv(makers, autoreset_mode=mode)
    except BaseException:
        for env in made:
            env.close()
        raise


class _Quiet:
    """Keeps gymnasium from printing the traceback of a worker process: the error itself is raised in this one."""

    def __enter__(self) -> None:
        from gymnasium import logger

        self._before, logger.min_level = logger.min_level, logger.ERROR + 1

    def __exit__(self, *_: object) -> None:
        from gymnasium import logger

        logger.min_level = self._before
