"""Searches in a game that can be stepped from any state: lookahead over held actions, and an escape from danger."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

MAX_IDLE_HOLD = 3  # decisions that an action without a score is held before the next search: a fifth of a second


class Emulator(Protocol):
    """A game that can be stepped from any state. The search does not look into states."""

    def step(self, state: Any, action: int) -> tuple[Any, float, bool]:
        """Takes one decision: returns the next state, the points scored, and whether the decision was fatal."""
        ...


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        action: the best action.
        hold: number of decisions to hold it.
        value: its discounted score, in points.
        nodes: number of simulated decisions.
        equals: the actions that are as good, itself included.
        lost: whether every action is fatal.
        depth: decisions of lookahead.
    """

    action: int
    hold: int
    value: float
    nodes: int
    equals: tuple[int, ...]
    lost: bool
    depth: int


@dataclasses.dataclass
class _HeldAction:
    """A held action: the state that it has led to, its discounted score so far, and whether it was fatal."""

    action: int
    state: Any
    value: float = 0.0
    lost: bool = False

    @property
    def rank(self) -> tuple[bool, float]:
        """The order of preference: survival counts more than any score."""
        return (not self.lost, self.value)


def search(
    emulator: Emulator, state: Any, actions: Sequence[int], *, nodes: int, discount: float, horizon: int
) -> SearchResult:
    """Finds the action that scores soonest and most if it is held.

    An action that does not score is held for at most MAX_IDLE_HOLD decisions, and for one if every action is fatal.
    Fatal actions rank last.

    Args:
        emulator: the game.
        state: the current state.
        actions: actions to consider. The first of equally good ones is chosen, so NOOP (0) should come first.
        nodes: most decisions to simulate; each action is simulated at least once.
        discount: factor per decision, in (0, 1].
        horizon: most decisions of lookahead.
    """
    held_actions = [_HeldAction(action, state) for action in actions]
    alive, used, depth = held_actions, 0, 0
    while alive and depth < horizon and (depth == 0 or used + len(alive) <= nodes):
        for held in alive:
            held.state, reward, held.lost = emulator.step(held.state, held.action)
            held.value += discount**depth * reward
        used, depth = used + len(alive), depth + 1
        alive = [held for held in alive if not held.lost]
        if any(held.value > 0.0 for held in alive):
            break
    best = max(held_actions, key=lambda held: held.rank)  # max() keeps the first of equals
    hold = 1 if best.lost else depth if best.value > 0.0 else min(depth, MAX_IDLE_HOLD)
    equals = tuple(held.action for held in held_actions if held.rank == best.rank)
    return SearchResult(best.action, hold, best.value, used, equals, best.lost, depth)


def escape(
    emulator: Emulator, state: Any, actions: Sequence[int], random: np.random.Generator, *, attempts: int, horizon: int
) -> list[int]:
    """Tries random pairs of held actions, if every single held action is fatal.

    Args:
        emulator: the game.
        state: the current state.
        actions: actions to draw from.
        random: random numbers.
        attempts: number of pairs to try. The first that survives for `horizon` decisions is chosen, else the one that
            survives longest.
        horizon: decisions of lookahead.

    Returns:
        The first action of the chosen pair, repeated for as long as it is held; [] if `attempts` is 0.
    """
    best: list[int] = []
    longest = -1
    for _ in range(attempts):
        first, second = random.choice(actions, 2)
        hold = int(random.integers(1, max(2, horizon // 2)))
        here, depth, lost = state, 0, False
        while depth < horizon and not lost:
            here, _, lost = emulator.step(here, int(first if depth < hold else second))
            depth += 1
        lived = horizon if not lost else depth - 1
        if lived > longest:
            best, longest = [int(first)] * hold, lived
        if longest == horizon:
            break
    return best
