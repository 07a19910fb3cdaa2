"""What to do in a game that can be stepped from any state: lookahead over held actions, and a way out of danger."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

MAX_IDLE_HOLD = 3  # decisions an action that scores nothing is held before looking again: a fifth of a second


class Emulator(Protocol):
    """What the search needs of a game; states are opaque to it."""

    def step(self, state: Any, action: int) -> tuple[Any, float, bool]:
        """One decision: the next state, the score it brought (points) and whether it was fatal."""
        ...


@dataclasses.dataclass(frozen=True)
class SearchResult:
    """The action found, how many decisions to hold it, its discounted score (points), and the decisions simulated.

    equals: the actions that are as good, itself included. lost: every action is fatal. depth: decisions looked ahead.
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
    """One action held: the state it has led to, its discounted score so far, and whether it still goes on."""

    action: int
    state: Any
    value: float = 0.0
    lost: bool = False

    @property
    def rank(self) -> tuple[bool, float]:
        """Survival before score, whatever the game's points are worth."""
        return (not self.lost, self.value)


def search(
    emulator: Emulator, state: Any, actions: Sequence[int], nodes: int, discount: float, horizon: int
) -> SearchResult:
    """The action whose persistence scores soonest and most; the first of equals in `actions`, so put NOOP (0) first.

    nodes: at most so many simulated decisions, but always one for each action. discount: in (0, 1], by decision.
    horizon: decisions looked ahead. A held action that turns out fatal goes no further and ranks last.
    What does not score is held for MAX_IDLE_HOLD decisions at most, and for one where every action is fatal.
    """
    lines = [_HeldAction(action, state) for action in actions]
    alive, used, depth = lines, 0, 0
    while alive and depth < horizon and (depth == 0 or used + len(alive) <= nodes):
        for line in alive:
            line.state, reward, line.lost = emulator.step(line.state, line.action)
            line.value += discount**depth * reward
        used, depth = used + len(alive), depth + 1
        alive = [line for line in alive if not line.lost]
        if any(line.value > 0.0 for line in alive):
            break
    best = max(lines, key=lambda line: line.rank)  # max() keeps the first of equals
    hold = 1 if best.lost else depth if best.value > 0.0 else min(depth, MAX_IDLE_HOLD)
    equals = tuple(line.action for line in lines if line.rank == best.rank)
    return SearchResult(best.action, hold, best.value, used, equals, best.lost, depth)


def escape(
    emulator: Emulator, state: Any, actions: Sequence[int], random: np.random.Generator, attempts: int, horizon: int
) -> list[int]:
    """What to do where every held action is fatal: the beginning of a random pair of held actions that is not.

    Of `attempts` pairs the first that lives for `horizon` decisions is taken, else the one that lives longest.
    Returns the first action of the pair for as long as it is held, at least one decision; [] if `attempts` is 0.
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
