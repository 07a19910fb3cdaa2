"""Searches in clones of a Procgen game, without random numbers: equal states get equal plans.

The names of the search classes and of their fields are part of an expert's description, whose hash is provenance.
"""

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from actors.experts.planners.procgen_clones import ProcgenClones


@dataclasses.dataclass(frozen=True)
class Shooting:
    """Parameters of `shoot`, which tries pairs of held actions.

    Attributes:
        actions: actions to choose from. Their order decides ties.
        holds: numbers of steps for which the first action is held.
        horizon: steps of a plan.
        commit: steps to take of a plan.
        discount: factor of rewards per step.
        death_cost: what a death costs, in points.
    """

    actions: tuple[int, ...]
    holds: tuple[int, ...]
    horizon: int
    commit: int
    discount: float = 0.99
    death_cost: float = 10.0


@dataclasses.dataclass(frozen=True)
class Repairing:
    """Parameters of `repair`, which repeats a default action and interrupts it by deviations.

    Attributes:
        default: the default action.
        deviations: (action, number of steps, steps of progress that it costs).
        window: deviations start within this many steps before a death.
        limit: most steps of a plan.
        repairs: most deviations of a plan.
    """

    default: int
    deviations: tuple[tuple[int, int, int], ...]
    window: int
    limit: int
    repairs: int


@dataclasses.dataclass(frozen=True)
class Exploring:
    """Parameters of `explore`, a breadth-first search for the nearest reward.

    Attributes:
        actions: actions to choose from.
        hold: steps for which each action is held.
        layers: actions of lookahead.
        width: most states of a layer that are explored further.
        grain: side, in pixels, of the blocks whose mean colours are compared. States that look alike count as one.
        commit: steps to take of a plan that found no reward.
    """

    actions: tuple[int, ...]
    hold: int
    layers: int
    width: int
    grain: int = 1
    commit: int = 30


def held_pairs(search: Shooting) -> np.ndarray:
    """Returns all plans of two held actions, int64 [K, horizon], in the order that decides ties."""
    choices = itertools.product(search.actions, search.holds, search.actions)
    return np.array([[first] * hold + [second] * (search.horizon - hold) for first, hold, second in choices], np.int64)


def shoot(clones: ProcgenClones, state: bytes, plans: np.ndarray, search: Shooting) -> np.ndarray:
    """Returns the beginning of the plan with the highest discounted return.

    An episode that ends without a reward counts as a death.

    Args:
        clones: as many copies as there are plans.
        state: the current state.
        plans: int64 [K, H].
        search: parameters.

    Returns:
        Actions, int64 [commit].
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
    """Plays plans and then the default action, from the states that are loaded.

    It stops after `limit` steps, or twenty steps after the first copy reached the goal.

    Args:
        clones: K copies.
        plans: int64 [K, H].
        default: the action after the plans.
        limit: most steps.

    Returns:
        The steps until each copy's end, int [K], and whether it reached the goal, bool [K]. A copy that has not ended
        reports `limit` and False.
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
    """Returns the states before the steps `since` … `len(plan) − 1` of a plan, int64 [T], played from `state`."""
    walker.load([state])
    states = []
    for step, action in enumerate(plan):
        if step >= since:
            states.append(walker.save())
        walker.step(np.full(1, action))
    return states


def repair(clones: ProcgenClones, walker: ProcgenClones, state: bytes, search: Repairing) -> np.ndarray:
    """Returns a plan to the goal, or to the latest possible death.

    Each round plays every deviation from the window before the death. The value of a deviation includes its neighbours
    in time, so that the chosen one also works a step early or late, as an imitator will play it.

    Args:
        clones: `window` times as many copies as there are deviations.
        walker: one further copy.
        state: the current state.
        search: parameters.

    Returns:
        Actions, int64 [T].
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
            window *= 2  # no deviation helps this late: the mistake was made earlier
            continue
        action, steps, _ = search.deviations[kind]
        repaired = np.full(lengths[at, kind], search.default)
        repaired[: starts[at]] = plan[: starts[at]]
        repaired[starts[at] : starts[at] + steps] = action
        plan, reached, window = repaired, goals[at, kind], search.window
    return plan


def deviate(
    clones: ProcgenClones, walker: ProcgenClones, state: bytes, plan: np.ndarray, starts: np.ndarray, search: Repairing
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Plays every deviation from every start.

    Args:
        clones: S · D copies, for S starts and D deviations.
        walker: one further copy.
        state: the state before the plan.
        plan: int64 [T].
        starts: steps of the plan at which deviations start, int [S].
        search: parameters.

    Returns:
        Values [S, D], plan lengths [S, D], and whether the goal was reached [S, D]. Without the goal, the value is the
        step of the death minus the deviation's cost.
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
    """A state that `explore` has reached, the actions that led there, and its appearance."""

    state: bytes
    path: tuple[int, ...]
    appearance: bytes


def explore(clones: ProcgenClones, state: bytes, search: Exploring, wander: int = 0) -> list[int]:
    """Returns the shortest plan of held actions to a reward; of equally short ones, the one with the highest return.

    Args:
        clones: copies of the game.
        state: the current state.
        search: parameters.
        wander: chooses, if no reward is found, one of the farthest states, whose plan is then taken for `commit` steps.

    Returns:
        Actions, at least one.
    """
    layer, seen = [ReachedState(state, (), b"")], set[bytes]()
    for _ in range(search.layers):
        reached, rewarded = expand(clones, layer, search)
        if rewarded:
            return list(max(rewarded, key=lambda found: found[0])[1])
        fresh = {visited.appearance: visited for visited in reversed(reached) if visited.appearance not in seen}
        if not fresh:
            break
        seen.update(fresh)
        layer = thin(list(reversed(fresh.values())), search.width)
    return list(layer[wander % len(layer)].path[: search.commit]) or [search.actions[wander % len(search.actions)]]


def thin(layer: Sequence[ReachedState], width: int) -> list[ReachedState]:
    """Returns at most `width` states of a layer, evenly spaced, since neighbours were reached by similar plans."""
    picks = np.unique(np.linspace(0, len(layer) - 1, min(width, len(layer))).round().astype(int))
    return [layer[pick] for pick in picks]


def expand(
    clones: ProcgenClones, layer: Sequence[ReachedState], search: Exploring
) -> tuple[list[ReachedState], list[tuple[float, tuple[int, ...]]]]:
    """Plays every held action from every state of a layer.

    Returns:
        The states without a reward that have not ended, and (return, plan) of those with a reward.
    """
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
    """Returns a key for frames that look alike.

    Args:
        frame: uint8 [64, 64, 3].
        grain: side of the blocks whose mean colours, in 8 levels, are the key; 1 for the frame itself.
    """
    if grain == 1:
        return frame.tobytes()
    side = len(frame) // grain
    blocks = frame[: side * grain, : side * grain].reshape(side, grain, side, grain, 3).mean((1, 3))
    return (blocks / 32.0).round().astype(np.uint8).tobytes()
