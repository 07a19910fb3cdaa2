"""Environments with gymnasium's interface behind the `VectorEnv` interface."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from gato_dist.envs.spaces import action_spec, first_action, observation_specs, read_observations
from gato_dist.episode import Observations
from gato_dist.errors import InputError, InvalidStepError
from gato_dist.ports import Array, TimeStep
from gato_dist.specs import Modality, TaskSpec
from gato_dist.value_checks import observation_fault, reward_fault

SUCCESS = ("success", "is_success")


class GymnasiumVector:
    """One gymnasium environment per seed, in this process, or a process each if `threads` > 1.

    Success is read from `info["success"]` or `info["is_success"]`. An environment that leaves the key out in a step did
    not succeed in that step.
    """

    def __init__(self, make: Callable[[], Any], spec: TaskSpec, seeds: list[int], threads: int = 1) -> None:
        """Makes the environments.

        Args:
            make: makes one environment.
            spec: the task's observations and actions, as `gymnasium_spec` returns them.
            seeds: one per environment.
            threads: above 1, each environment runs in a process.
        """
        self.spec, self.seeds = spec, list(seeds)
        self._env: Any = _gymnasium_vector(make, spec, len(seeds), threads)
        self._in_process = threads <= 1
        self._quiet: AbstractContextManager[None] = nullcontext() if self._in_process else _QuietGymnasium()
        self._space = self._env.single_observation_space
        self._first_action = first_action(self._env.single_action_space)
        self._action_dtype = self._env.single_action_space.dtype
        self._first_seeds: list[int] | None = self.seeds
        self._steps = np.zeros(len(seeds), int)
        self._done = np.zeros(len(seeds), bool)

    def reset(self) -> TimeStep:
        """Begins a new episode in every environment.

        Raises:
            InvalidStepError: if a value is outside the environment's spaces. The message names task, part and step.
        """
        # Only the first reset passes the seeds: with seeds, a later one would repeat the same levels.
        with self._quiet:
            observation, info = self._env.reset(seed=self._first_seeds)
        self._first_seeds = None
        self._done[:] = True
        count = len(self.seeds)
        return self._time_step(observation, np.zeros(count), np.zeros(count, bool), np.zeros(count, bool), info)

    def step(self, actions: Array) -> TimeStep:
        """Steps every environment. Raises InvalidStepError as `reset`."""
        shifted = np.asarray(actions).astype(self._action_dtype) + self._first_action
        with self._quiet:
            returned = self._env.step(shifted)
        return self._time_step(*returned)

    def render(self, row: int, camera: int = -1) -> Array:
        """Draws environment `row`, as `pictures.Renderable` says. The environment's own settings choose the camera.

        Raises:
            InputError: if the environment does not draw, or runs in another process.
        """
        try:
            picture = self._env.envs[row].render() if self._in_process else None
        except NotImplementedError:  # raised by gymnasium's base class
            picture = None
        if picture is None:
            raise InputError(f"{self.spec.name}: has no picture: its environment does not draw as rgb_array")
        return np.asarray(picture)

    def close(self) -> None:
        self._env.close()

    def _time_step(
        self, observation: Any, rewards: Array, terminated: Array, truncated: Array, info: dict[str, Any]
    ) -> TimeStep:
        self._steps = np.where(self._done, 0, self._steps + 1)
        self._done = np.asarray(terminated) | np.asarray(truncated)
        observations, rewards = read_observations(self._space, observation), np.asarray(rewards, np.float32)
        self._check(observations, rewards)
        return TimeStep(observations, rewards, terminated, truncated, self._success(info), {})

    def _check(self, observations: Observations, rewards: Array) -> None:
        for part in self.spec.observations:
            # `CheckedEnv` finds everything that can be wrong in images and texts.
            numeric = part.modality in (Modality.DISCRETE, Modality.CONTINUOUS)
            if numeric and (fault := observation_fault(part, observations[part.name])):
                raise InvalidStepError(f"{self.spec.name}, {part.name}, step {self._steps[fault[0]]}: {fault[1]}")
        if fault := reward_fault(rewards):
            # A reward belongs to the step before the observation that it comes with.
            raise InvalidStepError(f"{self.spec.name}, rewards, step {self._steps[fault[0]] - 1}: {fault[1]}")

    def _success(self, info: dict[str, Any]) -> Array | None:
        """Returns which environments reported success in this step, bool [N]; None if none reported anything."""
        success: Array | None = None
        for name in SUCCESS:
            if name not in info:
                continue
            # gymnasium's vectors mark in `_name` which environments gave the key `name`.
            reported = info[f"_{name}"]
            try:
                values = np.asarray(np.asarray(info[name])[reported], np.float32).reshape(int(reported.sum()))
            except (TypeError, ValueError, IndexError) as error:
                raise InvalidStepError(f"{self.spec.name}, info[{name!r}]: must be True, False or a number") from error
            success = np.zeros(len(self.seeds), bool) if success is None else success
            success[reported] |= values > 0
        return success


def gymnasium_spec(name: str, env: Any) -> TaskSpec:
    """Returns the spec of a gymnasium environment.

    Args:
        name: the task's name.
        env: the environment, with its spaces.

    Raises:
        InputError: if a space cannot be turned into tokens.
    """
    limit = env.spec.max_episode_steps if env.spec else None
    return TaskSpec(name, observation_specs(env.observation_space), action_spec(env.action_space), limit or 0)


def _gymnasium_vector(make: Callable[[], Any], spec: TaskSpec, count: int, threads: int) -> Any:
    """Makes gymnasium's vector of `count` checked environments. If one cannot be made, the others are closed."""
    from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

    from gato_dist.envs.checked_env import CheckedEnv

    made: list[Any] = []

    def make_checked() -> Any:
        made.append(make())
        return CheckedEnv(made[-1], spec.name)

    makers, mode = [make_checked] * count, AutoresetMode.NEXT_STEP
    if threads > 1:
        # gymnasium's shared memory cannot hold texts with other letters than the space's, nor packages' own spaces.
        has_text = any(part.modality is Modality.TEXT for part in spec.observations)
        return AsyncVectorEnv(makers, autoreset_mode=mode, shared_memory=not has_text)
    try:
        return SyncVectorEnv(makers, autoreset_mode=mode)
    except BaseException:
        for env in made:
            env.close()
        raise


class _QuietGymnasium(AbstractContextManager[None]):
    """Keeps gymnasium from printing a worker process's traceback: the same error is raised in this process."""

    def __enter__(self) -> None:
        from gymnasium import logger

        self._before, logger.min_level = logger.min_level, logger.ERROR + 1

    def __exit__(self, *_: object) -> None:
        from gymnasium import logger

        logger.min_level = self._before
