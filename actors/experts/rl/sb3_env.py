"""This project's environments as stable-baselines3 wants them: one step ends an episode and begins the next."""

from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from gymnasium import Space, spaces
from stable_baselines3.common.vec_env import VecEnv

from actors.experts.rl.preprocess import FrameStack, Preprocessing, RunningStatistics, preprocess, preprocessed_shape
from gato_dist.envs.registry import make_env
from gato_dist.episode import Observations
from gato_dist.ports import TimeStep, VectorEnv
from gato_dist.specs import Modality, TaskSpec

RECENT = 100
REWARD_CLIP = 10.0


class RestartableEnv(Protocol):
    """A VectorEnv in which some environments can begin anew while the others wait."""

    spec: TaskSpec
    seeds: list[int]

    def reset(self) -> TimeStep: ...

    def step(self, actions: np.ndarray) -> TimeStep: ...

    def restart(self, env_ids: np.ndarray) -> TimeStep:
        """First observations [len(env_ids), ...] of these environments' next episodes."""
        ...

    def close(self) -> None: ...


class SeparateEnvs:
    """Vectors of one environment each as one RestartableEnv: for suites that can only step all together."""

    def __init__(self, envs: list[VectorEnv]) -> None:
        self._envs, self.spec = envs, envs[0].spec
        self.seeds = [env.seeds[0] for env in envs]

    def reset(self) -> TimeStep:
        return _join([env.reset() for env in self._envs])

    def step(self, actions: np.ndarray) -> TimeStep:
        return _join([env.step(action[None]) for env, action in zip(self._envs, actions, strict=True)])

    def restart(self, env_ids: np.ndarray) -> TimeStep:
        """The step after done ignores its action and begins the next episode (see `VectorEnv`)."""
        action = self.spec.action
        idle = np.zeros((1, *action.shape), np.int64 if action.modality is Modality.DISCRETE else np.float32)
        return _join([self._envs[i].step(idle) for i in env_ids])

    def close(self) -> None:
        for env in self._envs:
            env.close()


def make_restartable(task: str, seeds: list[int], threads: int = 1, max_steps: int | None = None) -> Any:
    """The suite's own vector where it can restart environments one by one, else one vector for each. A RestartableEnv.

    Raises as `make_env`.
    """
    env = make_env(task, seeds, threads, max_steps)
    if hasattr(env, "restart"):
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
    """A RestartableEnv that steps, preprocesses and counts for stable-baselines3.

    Where an episode ends, the step returns the next one's first observation; its own last one is in
    `info["terminal_observation"]`, and `info["TimeLimit.truncated"]` says that it was cut rather than ended.
    recent: (return, length) of the newest episodes, from the task's own rewards.
    moments: of state, updated by every step that is seen; None: not standardised.
    reward_moments: of discounted returns, whose deviation divides the rewards; None: rewards as they are.
    """

    def __init__(
        self,
        env: RestartableEnv,
        rule: Preprocessing,
        moments: RunningStatistics | None = None,
        reward_moments: RunningStatistics | None = None,
        gamma: float = 0.99,
        clip_reward: bool = False,
    ) -> None:
        self._env, self._rule = env, rule
        self.moments, self.reward_moments = moments, reward_moments
        self._gamma, self._clip_reward = gamma, clip_reward
        count = len(env.seeds)
        self._stack = FrameStack(count, rule.stack)
        self._actions = np.zeros(0)
        self._returns, self._lengths = np.zeros(count), np.zeros(count, int)
        self._discounted = np.zeros(count)
        self.recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self.episodes = 0
        super().__init__(count, observation_space(env.spec, rule), action_space(env.spec))

    def reset(self) -> np.ndarray:
        self._returns[:], self._lengths[:], self._discounted[:] = 0, 0, 0
        everyone = np.arange(self.num_envs)
        self._stack.begin(everyone)
        return self._see(self._env.reset().observations, everyone)

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        after = self._env.step(self._actions)
        done = after.done
        seen = self._see(after.observations, np.arange(self.num_envs))
        self._returns += after.rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        rewards = self._learned_rewards(after.rewards, done)
        ended = np.flatnonzero(done)
        for i in ended:
            # A task that ended in the very step at which it would have been cut has no future to bootstrap from.
            cut = bool(after.truncated[i] and not after.terminated[i])
            infos[i] = {"terminal_observation": seen[i].copy(), "TimeLimit.truncated": cut}
            self.recent.append((float(self._returns[i]), int(self._lengths[i])))
            self.episodes += 1
        if len(ended):
            self._returns[ended], self._lengths[ended] = 0, 0
            self._stack.begin(ended)
            seen[ended] = self._see(self._env.restart(ended).observations, ended)
        return seen, rewards, done, infos

    def close(self) -> None:
        self._env.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Environments show stable-baselines3 nothing of themselves."""
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        return [False for _ in self._get_indices(indices)]

    def _get_indices(self, indices: None | int | Iterable[int]) -> Iterable[int]:
        return range(self.num_envs) if indices is None else [indices] if isinstance(indices, int) else indices

    def _see(self, observations: Observations, rows: np.ndarray) -> np.ndarray:
        """What the network gets of these environments: [len(rows), ...], newly made."""
        if self.moments is not None:
            self.moments.update(preprocess(self._env.spec, self._rule, observations))
        seen = preprocess(self._env.spec, self._rule, observations, self.moments)
        return self._stack.push(seen, rows)

    def _learned_rewards(self, rewards: np.ndarray, done: np.ndarray) -> np.ndarray:
        if self._clip_reward:
            return np.sign(rewards)
        if self.reward_moments is None:
            return rewards
        self._discounted = self._discounted * self._gamma + rewards
        self.reward_moments.update(self._discounted[:, None])
        self._discounted[done] = 0
        scaled = rewards / np.sqrt(self.reward_moments.variance[0] + 1e-8)
        return np.clip(scaled, -REWARD_CLIP, REWARD_CLIP).astype(np.float32)


def observation_space(spec: TaskSpec, rule: Preprocessing) -> Space:
    shape = preprocessed_shape(spec, rule)
    if rule.kind == "image":
        return spaces.Box(0, 255, shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, shape, np.float32)


def action_space(spec: TaskSpec) -> Space:
    action = spec.action
    if action.modality is Modality.DISCRETE:
        return spaces.MultiDiscrete(list(action.num_values)) if action.shape else spaces.Discrete(action.num_values[0])
    low, high = (np.reshape(bounds, action.shape).astype(np.float32) for bounds in (action.low, action.high))
    return spaces.Box(low, high, action.shape, np.float32)


def _join(steps: list[TimeStep]) -> TimeStep:
    observations: Observations = {
        name: np.concatenate([np.asarray(step.observations[name]) for step in steps]) for name in steps[0].observations
    }
    rewards, terminated, truncated = (
        np.concatenate([getattr(step, name) for step in steps]) for name in ("rewards", "terminated", "truncated")
    )
    return TimeStep(observations, rewards, terminated, truncated, None, {})
