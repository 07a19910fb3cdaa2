"""A policy in a vector of environments: a generator of transitions, and the recorder that makes episodes of them."""

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
    """One step of N environments: what was seen, done and given. Rows that are not `active` belong to no episode."""

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
        targets = policy.targets(actions)
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
        self._history = _History()
        self._first = np.full(len(env.seeds), -1)
        self._episodes = [0] * len(env.seeds)
        self._began = [time.monotonic()] * len(env.seeds)

    def add(self, step: Transition) -> list[Episode]:
        """Episodes that end with this step. Raises PlayError if one holds a value that its task does not allow."""
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
        source = self._source
        provenance = Provenance(
            source.task, self._seeds[i], source.policy, source.policy_hash, self._episodes[i], source.weights_version,
            source.versions, clock - self._began[i], created,
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
            raise PlayError(f"{source.task}, {faults[0]}")
        return episode


# Columns of a history beside the observations', which may have any name.
ACTIONS, TARGETS, REWARDS, SUCCESS = range(4)
Column = str | int


class _History:
    """The last steps of all environments as arrays [capacity, N, ...], so that an episode is one slice of each.

    Steps are numbered from 0 for ever; texts are lists of lists. A step may come without success, which is False then,
    and without targets, which are its actions then; both columns are left out if no step had them.
    """

    def __init__(self) -> None:
        self._columns: dict[Column, np.ndarray] = {}
        self._texts: dict[str, list[list[str]]] = {}
        self._base = self._count = 0

    def add(self, step: Transition) -> int:
        """Copies a step of every environment; returns its number."""
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
        """Writes a column's newest row. Raises ValueError for another shape than the rows before have."""
        values = np.asarray(values)
        column = self._columns.get(name)
        if column is None:
            column = self._begun(name, values)
        if values.shape != column.shape[1:]:
            raise ValueError(f"a step of shape {values.shape} follows steps of shape {column.shape[1:]}")
        if values.dtype != column.dtype:
            # A row of floats behind rows of integers would lose its fractions without a word.
            column = column.astype(np.result_type(values, column), copy=False)
        if self._count == len(column):
            column = np.concatenate([column, np.zeros_like(column)])
        column[self._count] = values
        self._columns[name] = column

    def _begun(self, name: Column, values: np.ndarray) -> np.ndarray:
        """A column that begins now, with what the steps before it are taken to have had."""
        capacity = len(next(iter(self._columns.values()), range(64)))
        column = np.zeros((capacity, *values.shape), values.dtype)
        if name == TARGETS and self._count:
            column = column.astype(np.result_type(values, self._columns[ACTIONS]), copy=False)
            column[: self._count] = self._columns[ACTIONS][: self._count]
        return column

    def column(self, i: int, first: int, end: int) -> dict[Any, Any]:
        """What environment i saw and did in steps [first, end): copies, by name."""
        span = slice(first - self._base, end - self._base)
        arrays: dict[Any, Any] = {name: values[span, i].copy() for name, values in self._columns.items()}
        return arrays | {name: [texts[i] for texts in rows[span]] for name, rows in self._texts.items()}

    def forget(self, before: int) -> None:
        """Nobody asks for steps before this one any more. Moves what is left once most of it is of no use."""
        old = before - self._base
        if 2 * old <= self._count or old < 32:
            return
        for values in self._columns.values():
            values[: self._count - old] = values[old : self._count].copy()
        for rows in self._texts.values():
            del rows[:old]
        self._base, self._count = before, self._count - old


def episodes(env: VectorEnv, policy: Policy, source: Provenance, once: bool = False) -> Iterator[Episode]:
    """Episodes as they end; with `once`, the first of each environment."""
    recorder = EpisodeRecorder(env, source)
    for step in rollout(env, policy, once):
        yield from recorder.add(step)
