"""Steps a policy in environments, and records the transitions as episodes."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.errors import PlayError
from gato_dist.ports import Policy, VectorEnv
from gato_dist.value_checks import episode_faults


@dataclass
class Transition:
    """One step of N environments.

    Attributes:
        observations: what the policy acted on, by name, each [N, ...].
        actions: what was done, [N, *action shape].
        targets: the actions to learn from, [N, *action shape].
        rewards: float32 [N].
        terminated: bool [N].
        truncated: bool [N].
        success: bool [N]; None if no environment reported success or failure.
        active: bool [N]; the step belongs to no episode of the other environments.
    """

    observations: Observations
    actions: np.ndarray
    targets: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    success: np.ndarray | None
    active: np.ndarray

    @property
    def done(self) -> np.ndarray:
        return self.terminated | self.truncated


def rollout(env: VectorEnv, policy: Policy, once: bool = False) -> Iterator[Transition]:
    """Yields the transitions of a policy in environments.

    An environment whose episode ended is stepped once more to reset it; it is not active in that step.

    Args:
        env: the environments.
        policy: decides the actions.
        once: whether each environment plays its first episode only; otherwise the rollout has no end.
    """
    count = len(env.seeds)
    active, finished = np.ones(count, bool), np.zeros(count, bool)
    now = env.reset()
    policy.reset(np.arange(count))
    while not finished.all():
        actions = policy.act(now.observations, now.info, active)
        after = env.step(actions)
        done = after.done & active
        yield Transition(
            observations=now.observations,
            actions=actions,
            targets=policy.targets(actions),
            rewards=after.rewards,
            terminated=after.terminated,
            truncated=after.truncated,
            success=after.success,
            active=active,
        )
        if once:
            finished |= done
            active = ~finished
        else:
            policy.reset(np.flatnonzero(~active))
            active = ~done
        now = after


class EpisodeRecorder:
    """Collects transitions into whole episodes, one at a time per environment."""

    def __init__(self, env: VectorEnv, provenance: Provenance) -> None:
        """Begins with no episode.

        Args:
            env: the environments.
            provenance: what all episodes share. Seeds, episode indices and times are filled in.
        """
        self._spec, self._seeds, self._provenance = env.spec, env.seeds, provenance
        self._history = _History()
        self._first = np.full(len(env.seeds), -1)
        self._episodes = [0] * len(env.seeds)
        self._began = [time.monotonic()] * len(env.seeds)

    def add(self, step: Transition) -> list[Episode]:
        """Adds a transition and returns the episodes that end with it.

        Raises:
            PlayError: if an episode has a value that its task does not allow.
        """
        active = step.active
        now = self._history.add(step)
        self._first[active & (self._first < 0)] = now
        done = np.flatnonzero(active & step.done).tolist()
        if not done:
            return []
        clock, created = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
        ended = [self._finish(i, now, bool(step.terminated[i]), clock, created) for i in done]
        going = self._first[self._first >= 0]
        self._history.forget(int(going.min()) if len(going) else now + 1)
        return ended

    def _finish(self, i: int, now: int, terminated: bool, clock: float, created: str) -> Episode:
        past = self._history.column(i, int(self._first[i]), now + 1)
        observations: Observations = {part.name: past[part.name] for part in self._spec.observations}
        shared = self._provenance
        provenance = Provenance(
            shared.task, self._seeds[i], shared.policy, shared.policy_hash, self._episodes[i], shared.weights_version,
            shared.versions, clock - self._began[i], created,
        )  # fmt: skip
        self._first[i], self._began[i] = -1, clock
        self._episodes[i] += 1
        success = bool(past[SUCCESS].any()) if SUCCESS in past else None
        episode = Episode(
            observations,
            past[ACTIONS],
            past.get(TARGETS, past[ACTIONS]),
            past[REWARDS].astype(np.float32, copy=False),
            terminated,
            success,
            provenance,
        )
        if faults := episode_faults(self._spec, episode):
            raise PlayError(f"{shared.task}, {faults[0]}")
        return episode


# Numbers, because parts of observations may have any name.
ACTIONS, TARGETS, REWARDS, SUCCESS = range(4)
Column = str | int


class _History:
    """The last steps of all environments as arrays [capacity, N, ...], so that an episode is one slice of each.

    Steps are numbered from 0 on, also after old ones are forgotten. Texts are lists of lists. There is no column of
    success, or of targets, until a step has them. Then success is False, and targets are the actions, in other steps.
    """

    def __init__(self) -> None:
        self._columns: dict[Column, np.ndarray] = {}
        self._texts: dict[str, list[list[str]]] = {}
        self._base = self._count = 0

    def add(self, step: Transition) -> int:
        """Copies a step of every environment and returns its number."""
        self._put(ACTIONS, step.actions)
        self._put(REWARDS, step.rewards)
        if step.targets is not step.actions or TARGETS in self._columns:
            self._put(TARGETS, step.targets)
        if step.success is not None:
            self._put(SUCCESS, step.success)
        elif SUCCESS in self._columns:
            self._put(SUCCESS, np.zeros(len(step.active), bool))
        for name, values in step.observations.items():
            if isinstance(values, list):
                self._texts.setdefault(name, []).append(values)
            else:
                self._put(name, values)
        self._count += 1
        return self._base + self._count - 1

    def _put(self, name: Column, values: np.ndarray) -> None:
        """Writes a step to a column. Raises ValueError if its shape differs from that of earlier steps."""
        values = np.asarray(values)
        column = self._columns.get(name)
        if column is None:
            column = self._new_column(name, values)
        if values.shape != column.shape[1:]:
            raise ValueError(f"a step of shape {values.shape} follows steps of shape {column.shape[1:]}")
        if values.dtype != column.dtype:
            # Otherwise floats after integers would silently lose their fractions.
            column = column.astype(np.result_type(values, column), copy=False)
        if self._count == len(column):
            column = np.concatenate([column, np.zeros_like(column)])
        column[self._count] = values
        self._columns[name] = column

    def _new_column(self, name: Column, values: np.ndarray) -> np.ndarray:
        """Makes a column that begins at this step, with default values in earlier steps."""
        capacity = len(next(iter(self._columns.values()), range(64)))
        column = np.zeros((capacity, *values.shape), values.dtype)
        if name == TARGETS and self._count:
            column = column.astype(np.result_type(values, self._columns[ACTIONS]), copy=False)
            column[: self._count] = self._columns[ACTIONS][: self._count]
        return column

    def column(self, i: int, first: int, end: int) -> dict[Any, Any]:
        """Copies the columns of environment i in steps [first, end)."""
        span = slice(first - self._base, end - self._base)
        arrays: dict[Any, Any] = {name: values[span, i].copy() for name, values in self._columns.items()}
        return arrays | {name: [texts[i] for texts in rows[span]] for name, rows in self._texts.items()}

    def forget(self, before: int) -> None:
        """Allows steps before this one to be dropped, which happens once they are most of the history."""
        old = before - self._base
        if 2 * old <= self._count or old < 32:
            return
        for values in self._columns.values():
            values[: self._count - old] = values[old : self._count].copy()
        for rows in self._texts.values():
            del rows[:old]
        self._base, self._count = before, self._count - old


def episodes(env: VectorEnv, policy: Policy, provenance: Provenance, once: bool = False) -> Iterator[Episode]:
    """Yields the episodes of a policy as they end.

    Args:
        env: the environments.
        policy: decides the actions.
        provenance: as for `EpisodeRecorder`.
        once: whether each environment plays its first episode only; otherwise there is no end.
    """
    recorder = EpisodeRecorder(env, provenance)
    for step in rollout(env, policy, once):
        yield from recorder.add(step)
