"""This project's environments behind stable-baselines3's `VecEnv` interface.

In a `VecEnv`, the step that ends an episode also begins the next one. In this project's `VectorEnv`, the following step
begins it.
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from gymnasium import Space, spaces
from stable_baselines3.common.vec_env import VecEnv

from actors.experts.rl.preprocess import FrameStack, Preprocessing, RunningStatistics, preprocess, preprocessed_shape
from gato_dist.envs.envpool_vector import EnvpoolVector
from gato_dist.envs.registry import make_env
from gato_dist.episode import Observations
from gato_dist.ports import TimeStep, VectorEnv
from gato_dist.specs import Modality, TaskSpec

RECENT_EPISODES = 100
REWARD_CLIP = 10.0


class RestartableEnv(VectorEnv, Protocol):
    """A `VectorEnv` in which some environments can begin a new episode while the others wait."""

    def restart(self, env_ids: np.ndarray) -> TimeStep:
        """Begins a new episode in some environments.

        Args:
            env_ids: indices of environments, int [M].

        Returns:
            The first observations of these environments, [M, ...].
        """
        ...


class SeparateEnvs:
    """Joins vectors of one environment each to a `RestartableEnv`, for suites that can only step all environments.

    Args:
        envs: vectors with one environment each, of the same task.
    """

    def __init__(self, envs: list[VectorEnv]) -> None:
        self._envs, self.spec = envs, envs[0].spec
        self.seeds = [env.seeds[0] for env in envs]

    def reset(self) -> TimeStep:
        return _join([env.reset() for env in self._envs])

    def step(self, actions: np.ndarray) -> TimeStep:
        return _join([env.step(action[None]) for env, action in zip(self._envs, actions, strict=True)])

    def restart(self, env_ids: np.ndarray) -> TimeStep:
        # The step after `done` ignores its action and begins the next episode; see `VectorEnv`.
        action = self.spec.action
        idle = np.zeros((1, *action.shape), np.int64 if action.modality is Modality.DISCRETE else np.float32)
        return _join([self._envs[i].step(idle) for i in env_ids])

    def close(self) -> None:
        for env in self._envs:
            env.close()


def make_restartable(task: str, seeds: list[int], threads: int = 1, max_steps: int | None = None) -> RestartableEnv:
    """Makes environments that can be restarted one by one: envpool's vector, else a vector per environment.

    Arguments and errors are those of `gato_dist.envs.registry.make_env`.
    """
    env = make_env(task, seeds, threads, max_steps)
    if isinstance(env, EnvpoolVector):
        return env
    env.close()
    made: list[VectorEnv] = []
    try:
        for seed in seeds:
            made.append(make_env(task, [seed], 1, max_steps))
    except BaseException:
        for each in made:
            each.close()
        raise
    return SeparateEnvs(made)


class ExpertVecEnv(VecEnv):
    """Steps a `RestartableEnv` for stable-baselines3: preprocesses observations, scales rewards, counts episodes.

    If an episode ends, the step returns the first observation of the next one. The last observation of the ended
    episode is in `info["terminal_observation"]`; `info["TimeLimit.truncated"]` is true if the episode was truncated.

    Attributes:
        preprocessing: how observations become the network's input.
        statistics: of the state, updated in every step; None if the state is not standardised.
        reward_statistics: of discounted returns. Rewards are divided by their deviation; None to leave them.
        recent: (return, length) of the last episodes, in the task's own rewards.
        episodes: episodes that have ended.
    """

    def __init__(
        self,
        env: RestartableEnv,
        preprocessing: Preprocessing,
        *,
        statistics: RunningStatistics | None = None,
        reward_statistics: RunningStatistics | None = None,
        gamma: float = 0.99,
        clip_reward: bool = False,
    ) -> None:
        """Wraps environments.

        Args:
            env: the environments.
            preprocessing: how observations become the network's input.
            statistics: as the attribute.
            reward_statistics: as the attribute.
            gamma: discount of the returns in `reward_statistics`.
            clip_reward: whether only the rewards' signs are learned from.
        """
        self._env, self.preprocessing = env, preprocessing
        self.statistics, self.reward_statistics = statistics, reward_statistics
        self._gamma, self._clip_reward = gamma, clip_reward
        count = len(env.seeds)
        self._stack = FrameStack(count, preprocessing.stack)
        self._actions = np.zeros(0)
        self._returns, self._lengths = np.zeros(count), np.zeros(count, int)
        self._discounted = np.zeros(count)
        self.recent: deque[tuple[float, int]] = deque(maxlen=RECENT_EPISODES)
        self.episodes = 0
        super().__init__(count, observation_space(env.spec, preprocessing), action_space(env.spec))

    def reset(self) -> np.ndarray:
        self._returns[:], self._lengths[:], self._discounted[:] = 0, 0, 0
        all_ids = np.arange(self.num_envs)
        self._stack.begin(all_ids)
        return self._network_inputs(self._env.reset().observations, all_ids)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        after = self._env.step(self._actions)
        done = after.done
        seen = self._network_inputs(after.observations, np.arange(self.num_envs))
        self._returns += after.rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        rewards = self._learned_rewards(after.rewards, done)
        ended = np.flatnonzero(done)
        for i in ended:
            # If an episode terminated in its last step, there is no future value to bootstrap from.
            cut = bool(after.truncated[i] and not after.terminated[i])
            infos[i] = {"terminal_observation": seen[i].copy(), "TimeLimit.truncated": cut}
            self.recent.append((float(self._returns[i]), int(self._lengths[i])))
            self.episodes += 1
        if len(ended):
            self._returns[ended], self._lengths[ended] = 0, 0
            self._stack.begin(ended)
            seen[ended] = self._network_inputs(self._env.restart(ended).observations, ended)
        return seen, rewards, done, infos

    def close(self) -> None:
        self._env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Returns None for each environment: they have no attributes for stable-baselines3."""
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _get_indices(self, indices: None | int | Iterable[int]) -> Iterable[int]:
        return range(self.num_envs) if indices is None else [indices] if isinstance(indices, int) else indices

    def _network_inputs(self, observations: Observations, rows: np.ndarray) -> np.ndarray:
        """Returns the network's inputs for these environments, a new array [len(rows), ...]."""
        if self.statistics is not None:
            self.statistics.update(preprocess(self._env.spec, self.preprocessing, observations))
        seen = preprocess(self._env.spec, self.preprocessing, observations, self.statistics)
        return self._stack.push(seen, rows)

    def _learned_rewards(self, rewards: np.ndarray, done: np.ndarray) -> np.ndarray:
        if self._clip_reward:
            return np.sign(rewards)
        if self.reward_statistics is None:
            return rewards
        self._discounted = self._discounted * self._gamma + rewards
        self.reward_statistics.update(self._discounted[:, None])
        self._discounted[done] = 0
        scaled = rewards / np.sqrt(self.reward_statistics.variance[0] + 1e-8)
        return np.clip(scaled, -REWARD_CLIP, REWARD_CLIP).astype(np.float32)


def observation_space(spec: TaskSpec, preprocessing: Preprocessing) -> Space[Any]:
    """Returns gymnasium's space of the network's inputs."""
    shape = preprocessed_shape(spec, preprocessing)
    if preprocessing.kind == "image":
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def action_space(spec: TaskSpec) -> Space[Any]:
    """Returns gymnasium's space of the task's actions."""
    action = spec.action
    if action.modality is Modality.DISCRETE:
        return spaces.MultiDiscrete(list(action.num_values)) if action.shape else spaces.Discrete(action.num_values[0])
    low, high = (np.reshape(bounds, action.shape).astype(np.float32) for bounds in (action.low, action.high))
    return spaces.Box(low, high, action.shape, np.float32)


def _join(steps: list[TimeStep]) -> TimeStep:
    observations: Observations = {
        name: np.concatenate([np.asarray(step.observations[name]) for step in steps]) for name in steps[0].observations
    }
    return TimeStep(
        observations,
        rewards=np.concatenate([step.rewards for step in steps]),
        terminated=np.concatenate([step.terminated for step in steps]),
        truncated=np.concatenate([step.truncated for step in steps]),
        success=None,
        info={},
    )
