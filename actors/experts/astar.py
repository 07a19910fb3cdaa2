"""Weighted A* (Pohl 1970)."""

import heapq
from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Any, TypeVar

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
