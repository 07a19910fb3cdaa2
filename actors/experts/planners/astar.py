"""Weighted A* (Pohl 1970), and what every expert does that follows a plan."""

import heapq
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Any, TypeVar

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

UNREACHABLE = 10**9

S = TypeVar("S", bound=Hashable)


def search(
    start: S,
    is_goal: Callable[[S], bool],
    successors: Callable[[S], Iterable[tuple[Any, S, int]]],
    estimate: Callable[[S], float],
    weight: float = 1.0,
    nodes: int = 1_000_000,
) -> list[Any] | None:
    """The labels on a path from `start` to a goal; None where there is none within `nodes` expansions.

    successors: (label, state, cost) of each step. estimate: of the cost that remains; with weight 1 and an estimate
    that is never too high the path is a cheapest one, otherwise it costs at most `weight` times as much.
    """
    order = count()
    frontier = [(weight * estimate(start), next(order), start)]
    cost, came = {start: 0}, {start: (None, start)}
    closed: set[S] = set()
    while frontier and nodes:
        _, _, state = heapq.heappop(frontier)
        if state in closed:
            continue
        if is_goal(state):
            return _path(came, state)
        closed.add(state)
        nodes -= 1
        for label, after, step in successors(state):
            reached = cost[state] + step
            if reached < cost.get(after, UNREACHABLE) and after not in closed:
                cost[after], came[after] = reached, (label, state)
                heapq.heappush(frontier, (reached + weight * estimate(after), next(order), after))
    return None


def _path(came: dict, state: Any) -> list[Any]:
    labels = []
    while came[state][1] != state:
        label, state = came[state]
        labels.append(label)
    return labels[::-1]


class PlanFollower(Policy):
    """Plays the plan of each of N environments to its end, then plans again; plans at once where it was disturbed.

    plan: the actions to take in environment i, which shows the observations; none where there is no way.
    stuck: what is done there, before it looks again.
    """

    def __init__(
        self, num_envs: int, plan: Callable[[int, Observations], list[int] | None], stuck: Callable[[], int]
    ) -> None:
        self._plan, self._stuck = plan, stuck
        self._lost = np.zeros(num_envs, bool)
        self._left: list[list[int]] = [[] for _ in range(num_envs)]
        self._chosen = np.zeros(num_envs, np.int64)

    def reset(self, env_ids: np.ndarray) -> None:
        for i in env_ids:
            self._left[i] = []
        self._lost[env_ids] = False

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """int64 [N]; 0 in rows that are not active."""
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            if not self._left[i]:
                self._left[i] = self._plan(i, observations) or [self._stuck()]
            actions[i] = self._left[i].pop(0)
        self._chosen = actions.copy()
        return actions

    def lost(self) -> np.ndarray:
        """Environments in which `label` has found no plan since the last reset: bool [N]."""
        return self._lost

    def played(self, actions: np.ndarray) -> None:
        """What was done [N] in place of what `act` returned; where it differs, a plan is made anew."""
        for i in np.flatnonzero(actions != self._chosen):
            self._left[i] = []

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """What it would do now in each environment, whoever acts there: int64 [N]; none of these plans is followed.

        Where it found no way once it does not look again: most worlds that were spoilt stay so, and that takes longest.
        """
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            plan = None if self._lost[i] else self._plan(i, observations)
            self._lost[i] = not plan
            actions[i] = plan[0] if plan else self._stuck()
        return actions
