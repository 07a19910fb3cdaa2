"""Searches over clones of a Procgen game. None draws a random number: equal states get equal plans."""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from actors.experts.planners.procgen_clones import ProcgenClones


@dataclasses.dataclass(frozen=True)
class Shooting:
    """Pairs of held actions: `actions` to choose from, steps the first is held for, and how far to look and commit.

    The order of `actions` decides ties, hence equal states get equal actions.
    """

    actions: tuple[int, ...]
    holds: tuple[int, ...]
    horizon: int
    commit: int
    discount: float = 0.99
    death_cost: float = 10.0


@dataclasses.dataclass(frozen=True)
class Repairing:
    """A `default` action and the deviations (action, steps, steps of progress lost) that may interrupt it.

    Deviations start within `window` steps before a death; plans end after `limit` steps or `repairs` deviations.
    """

    default: int
    deviations: tuple[tuple[int, int, int], ...]
    window: int
    limit: int
    repairs: int


@dataclasses.dataclass(frozen=True)
class Exploring:
    """Breadth first over `actions`, each held for `hold` steps, to the nearest reward; what looks alike is one state.

    grain: pixels a side of the blocks whose mean colours are compared. layers: actions looked ahead; width: the states
    of a layer that are explored further. commit: steps played of a plan that found no reward.
    """

    actions: tuple[int, ...]
    hold: int
    layers: int
    width: int
    grain: int = 1
    commit: int = 30


def held_pairs(search: Shooting) -> np.ndarray:
    """All plans of two held actions: int64 [K, horizon], in the order that decides ties."""
    choices = itertools.product(search.actions, search.holds, search.actions)
    return np.array([[first] * hold + [second] * (search.horizon - hold) for first, hold, second in choices], np.int64)


def shoot(clones: ProcgenClones, state: bytes, plans: np.ndarray, search: Shooting) -> np.ndarray:
    """The first `commit` actions [C] of the plan with the highest discounted return from `state`.

    plans: int64 [clones.num, H]. The end of an episode without a reward counts as a death.
    """
    clones.load([state] * clones.num)
    returns = np.zeros(clones.num)
    alive = np.ones(clones.num, bool)
    for step in range(search.horizon):
        rewards, done = clones.step(plans[:, step])
        died = done & (rewards <= 0)
        returns += alive * search.discount**step * (rewards - search.death_cost * died)
        alive &= ~done
    return plans[np.argmax(np.round(returns, 6)), : search.commit]


def play_out(clones: ProcgenClones, plans: np.ndarray, default: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Plays plans [num, H], then the default, from the loaded states -> (steps until the end [num], reached [num]).

    Copies that have not ended report limit and not reached: after `limit` steps, or twenty after the first goal.
    """
    ends = np.full(clones.num, limit)
    reached = np.zeros(clones.num, bool)
    alive = np.ones(clones.num, bool)
    stop = limit
    for step in range(limit):
        actions = plans[:, step] if step < plans.shape[1] else np.full(clones.num, default)
        rewards, done = clones.step(actions)
        ended = alive & done
        ends[ended] = step + 1
        reached |= ended & (rewards > 0)
        alive &= ~done
        stop = min(stop, step + 20) if reached.any() else stop
        if step >= stop or not alive.any():
            break
    return ends, reached


def snapshots(walker: ProcgenClones, state: bytes, plan: np.ndarray, since: int) -> list[bytes]:
    """The states before steps since, since + 1, ... len(plan) - 1 of a plan [T] played from `state`."""
    walker.load([state])
    states = []
    for step, action in enumerate(plan):
        if step >= since:
            states.append(walker.save())
        walker.step(np.full(1, action))
    return states


def repair(clones: ProcgenClones, walker: ProcgenClones, state: bytes, search: Repairing) -> np.ndarray:
    """A plan [T] from `state` to the goal, or to the latest death that `search` could put off.

    Each round plays every deviation from the window before the death. One is valued together with its neighbours in
    time, so that the one chosen also works a step early or late, as an imitator will play it.
    """
    walker.load([state])
    (end,), (reached,) = play_out(walker, np.empty((1, 0), np.int64), search.default, search.limit)
    plan = np.full(end, search.default)
    window = search.window
    for _ in range(search.repairs):
        if reached:
            break
        since = max(0, len(plan) - window)
        starts = np.linspace(since, len(plan) - 1, search.window).round().astype(int)
        values, lengths, goals = deviate(clones, walker, state, plan, starts, search)
        padded = np.pad(values, ((1, 1), (0, 0)), mode="edge")
        smooth = padded[:-2] + 2 * padded[1:-1] + padded[2:]
        if goals.any():
            smooth = np.where(goals, smooth, -np.inf)
        at, kind = np.unravel_index(np.argmax(smooth), smooth.shape)
        if values[at, kind] <= len(plan) and not goals[at, kind]:
            window *= 2  # nothing so late helps: the mistake was made earlier
            continue
        action, steps, _ = search.deviations[kind]
        mended = np.full(lengths[at, kind], search.default)
        mended[: starts[at]] = plan[: starts[at]]
        mended[starts[at] : starts[at] + steps] = action
        plan, reached, window = mended, goals[at, kind], search.window
    return plan


def deviate(
    clones: ProcgenClones, walker: ProcgenClones, state: bytes, plan: np.ndarray, starts: np.ndarray, search: Repairing
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plays every deviation from every start [S] -> values [S, D], plan lengths [S, D], goals reached [S, D].

    clones must hold S * D copies. Before the goal a value is the step of death, less what the deviation itself costs.
    """
    states = snapshots(walker, state, plan, int(starts[0]))
    kinds = len(search.deviations)
    clones.load([states[start - starts[0]] for start in starts for _ in range(kinds)])
    actions = np.full((kinds, max(steps for _, steps, _ in search.deviations)), search.default)
    for row, (action, steps, _) in enumerate(search.deviations):
        actions[row, :steps] = action
    played = play_out(clones, np.tile(actions, (len(starts), 1)), search.default, search.limit)
    ends, goals = (part.reshape(len(starts), kinds) for part in played)
    lengths = np.minimum(ends + starts[:, None], search.limit)
    costs = np.array([cost for _, _, cost in search.deviations])
    stuck = ~goals & (ends >= search.limit)
    values = np.where(goals, 2.0 * search.limit - lengths, np.where(stuck, 0, lengths - costs))
    return values, lengths, goals


@dataclasses.dataclass(frozen=True)
class ReachedState:
    """A state that exploring reached, by which actions, and how it looked there."""

    state: bytes
    path: tuple[int, ...]
    look: bytes


def explore(clones: ProcgenClones, state: bytes, search: Exploring, wander: int = 0) -> list[int]:
    """The shortest plan of held actions to a reward, at least one step; the richest of equally short ones.

    Without a reward in reach: the first `commit` steps to one of the states farthest away, another for every `wander`.
    """
    layer, seen = [ReachedState(state, (), b"")], set[bytes]()
    for _ in range(search.layers):
        reached, rewarded = expand(clones, layer, search)
        if rewarded:
            return list(max(rewarded, key=lambda found: found[0])[1])
        fresh = {visited.look: visited for visited in reversed(reached) if visited.look not in seen}
        if not fresh:
            break
        seen.update(fresh)
        layer = thin(list(reversed(fresh.values())), search.width)
    return list(layer[wander % len(layer)].path[: search.commit]) or [search.actions[wander % len(search.actions)]]


def thin(layer: Sequence[ReachedState], width: int) -> list[ReachedState]:
    """At most `width` of them, evenly spaced: neighbours were reached alike."""
    picks = np.unique(np.linspace(0, len(layer) - 1, min(width, len(layer))).round().astype(int))
    return [layer[pick] for pick in picks]


def expand(
    clones: ProcgenClones, layer: Sequence[ReachedState], search: Exploring
) -> tuple[list[ReachedState], list[tuple[float, tuple[int, ...]]]]:
    """Every action held from every state of a layer -> states that live on, and (return, path) of the rewarded ones."""
    reached, rewarded = [], []
    children = [(parent, action) for parent in layer for action in search.actions]
    for first in range(0, len(children), clones.num):
        batch = children[first : first + clones.num]
        clones.load([parent.state for parent, _ in batch])
        actions = np.resize([action for _, action in batch], clones.num)
        alive, returns, lengths = np.ones(clones.num, bool), np.zeros(clones.num), np.full(clones.num, search.hold)
        for step in range(search.hold):
            rewards, done = clones.step(actions)
            ended = alive & (done | (rewards > 0))
            returns += alive * rewards
            lengths[ended] = step + 1
            alive &= ~ended
        for row, (parent, action) in enumerate(batch):
            path = parent.path + (action,) * int(lengths[row])
            if returns[row] > 0:
                rewarded.append((float(returns[row]), path))
            elif alive[row]:
                reached.append(ReachedState(clones.save(row), path, appearance(clones.frame(row), search.grain)))
    return reached, rewarded


def appearance(frame: np.ndarray, grain: int) -> bytes:
    """What tells a frame, uint8 [64, 64, 3], from others: itself, or in blocks of `grain` the colours to 8 levels."""
    if grain == 1:
        return frame.tobytes()
    side = len(frame) // grain
    blocks = frame[: side * grain, : side * grain].reshape(side, grain, side, grain, 3).mean((1, 3))
    return (blocks / 32.0).round().astype(np.uint8).tobytes()
