"""A policy in a vector of environments: a generator of transitions, and the recorder that makes episodes of them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.ports import Policy, VectorEnv
from gato_dist.specs import Modality


@dataclass
class Transition:
    """One step of N environments: what was seen, done and given. Rows that are not `active` belong to no episode."""

    observations: Observations
    actions: np.ndarray
    targets: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    success: np.ndarray | None
    active: np.ndarray


def rollout(env: VectorEnv, policy: Policy, once: bool = False) -> Iterator[Transition]:
    """Steps `env` with `policy`, without end; with `once` each environment plays its first episode only.

    An environment that ended is stepped once more to reset it, with an action that nobody chose: not active.
    """
    count = len(env.seeds)
    active, finished = np.ones(count, bool), np.zeros(count, bool)
    now = env.reset()
    policy.reset(np.arange(count))
    while not finished.all():
        actions = policy.act(now.observations, now.info, active)
        after = env.step(actions)
        done = after.done & active
        targets = getattr(policy, "targets", actions)
        yield Transition(
            now.observations, actions, targets, after.rewards, after.terminated, after.truncated, after.success, active
        )
        if once:
            finished |= done
            active = ~finished
        else:
            policy.reset(np.flatnonzero(~active))
            active = ~done
        now = after


class EpisodeRecorder:
    """Gathers transitions into whole episodes, one at a time for each environment."""

    def __init__(self, env: VectorEnv, source: Provenance) -> None:
        """source: the provenance that all episodes share; its seed and episode index are filled in."""
        self._spec, self._seeds, self._source = env.spec, env.seeds, source
        self._steps: list[list[tuple]] = [[] for _ in env.seeds]
        self._episodes = [0] * len(env.seeds)
        self._began = [time.monotonic()] * len(env.seeds)

    def add(self, step: Transition) -> list[Episode]:
        """Episodes that end with this step."""
        ended = []
        for i in np.flatnonzero(step.active):
            seen = tuple(step.observations[part.name][i] for part in self._spec.observations)
            success = None if step.success is None else bool(step.success[i])
            self._steps[i].append((seen, step.actions[i], step.targets[i], step.rewards[i], success))
            if step.terminated[i] or step.truncated[i]:
                ended.append(self._finish(i, bool(step.terminated[i])))
        return ended

    def _finish(self, i: int, terminated: bool) -> Episode:
        seen, actions, targets, rewards, successes = zip(*self._steps[i], strict=True)
        observations: Observations = {
            part.name: list(values) if part.modality is Modality.TEXT else np.stack(values)
            for part, values in zip(self._spec.observations, zip(*seen, strict=True), strict=True)
        }
        now = time.monotonic()
        source = self._source
        provenance = Provenance(
            source.task, self._seeds[i], source.policy, source.policy_hash, self._episodes[i], source.weights_version,
            source.versions, now - self._began[i], datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        self._steps[i], self._began[i] = [], now
        self._episodes[i] += 1
        success = None if successes[0] is None else any(successes)
        return Episode(
            observations,
            np.stack(actions),
            np.stack(targets),
            np.array(rewards, np.float32),
            terminated,
            success,
            provenance,
        )


def episodes(env: VectorEnv, policy: Policy, source: Provenance, once: bool = False) -> Iterator[Episode]:
    """Episodes as they end; with `once`, the first of each environment."""
    recorder = EpisodeRecorder(env, source)
    for step in rollout(env, policy, once):
        yield from recorder.add(step)
