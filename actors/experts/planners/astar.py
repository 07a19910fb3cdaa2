"""Weighted A* (Pohl 1970), and the base class of experts that follow a plan."""

import heapq
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Any, TypeVar

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Array, Info, Policy

UNREACHABLE = 10**9

S = TypeVar("S", bound=Hashable)


def search(
    start: S,
    is_goal: Callable[[S], bool],
    successors: Callable[[S], Iterable[tuple[Any, S, int]]],
    estimate: Callable[[S], float],
    *,
    weight: float = 1.0,
    nodes: int = 1_000_000,
) -> list[Any] | None:
    """Searches a path from a state to a goal with weighted A*.

    If the estimate is never too high, the path costs at most `weight` times as much as the cheapest one.

    Args:
        start: the first state.
        is_goal: whether a state is a goal.
        successors: (label, state, cost) of each step from a state.
        estimate: estimated cost from a state to the nearest goal.
        weight: factor of the estimate.
        nodes: expansions after which the search gives up.

    Returns:
        The labels of the steps; None if no path was found.
    """
    order = count()
    frontier = [(weight * estimate(start), next(order), start)]
    cost, parents = {start: 0}, {start: (None, start)}
    closed: set[S] = set()
    while frontier and nodes:
        _, _, state = heapq.heappop(frontier)
        if state in closed:
            continue
        if is_goal(state):
            return _path(parents, state)
        closed.add(state)
        nodes -= 1
        for label, after, step in successors(state):
            reached = cost[state] + step
            if reached < cost.get(after, UNREACHABLE) and after not in closed:
                cost[after], parents[after] = reached, (label, state)
                heapq.heappush(frontier, (reached + weight * estimate(after), next(order), after))
    return None


def _path(parents: dict[Any, tuple[Any, Any]], state: Any) -> list[Any]:
    labels = []
    while parents[state][1] != state:
        label, state = parents[state]
        labels.append(label)
    return labels[::-1]


class PlanFollower(Policy):
    """Follows a plan in each environment, and plans again at its end or if another action was taken.

    Args:
        num_envs: number of environments, N.
        plan: returns the actions for environment i, given i and all observations; None or [] if there is no plan.
        stuck: returns the action to take if there is no plan.
    """

    def __init__(
        self, num_envs: int, plan: Callable[[int, Observations], list[int] | None], stuck: Callable[[], int]
    ) -> None:
        self._plan, self._stuck = plan, stuck
        self._lost = np.zeros(num_envs, bool)
        self._left: list[list[int]] = [[] for _ in range(num_envs)]
        self._chosen = np.zeros(num_envs, np.int64)

    def reset(self, env_ids: Array) -> None:
        for i in env_ids:
            self._left[i] = []
        self._lost[env_ids] = False

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns the next action of each plan, int64 [N]; 0 in environments that are not active."""
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            if not self._left[i]:
                self._left[i] = self._plan(i, observations) or [self._stuck()]
            actions[i] = self._left[i].pop(0)
        self._chosen = actions.copy()
        return actions

    def lost(self) -> Array:
        """Returns in which environments `label` has found no plan since the last reset, bool [N]."""
        return self._lost

    def played(self, actions: Array) -> None:
        """Drops the plan of each environment in which another action, [N], was taken than `act` returned."""
        for i in np.flatnonzero(actions != self._chosen):
            self._left[i] = []

    def label(self, observations: Observations, active: Array) -> Array:
        """Returns the first action of a new plan for each environment, int64 [N].

        If there was no plan once, the environment is not planned again before `reset`: most levels that became
        unsolvable stay so, and failing searches take longest.
        """
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            plan = None if self._lost[i] else self._plan(i, observations)
            self._lost[i] = not plan
            actions[i] = plan[0] if plan else self._stuck()
        return actions
