"""A planner for ALE games that improves on a guide: a simple rule on the game's RAM that plays passably by itself.

It is the rollout algorithm (Bertsekas, Tsitsiklis and Wu 1997): follow the guide in a clone of the emulator until a
point is scored. If the guide does not win that point, try short held actions before the guide, and take the best.
The planner acts as the guide nearly everywhere, so that one frame explains most actions, and better where it matters.
The guide reads only positions from RAM that the frame shows too.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.experts.planners.ale import AlePlanner
from actors.experts.planners.ale_emulator import AleEmulator, GameState

Guide = Callable[[bytes], int]

# Bytes of Pong's RAM, and where the ball shall hit the paddle: off centre, so that it leaves at an angle.
PONG_PADDLE, PONG_BALL = 51, 54
PONG_OFFSET, PONG_SLACK = 6, 2
PONG_STAY, PONG_UP, PONG_DOWN = 0, 2, 3


def pong_guide(ram: bytes) -> int:
    """Returns the action that keeps the paddle level with the ball; PONG_STAY without a ball."""
    if ram[PONG_BALL] == 0:
        return PONG_STAY
    below = ram[PONG_PADDLE] + PONG_OFFSET - ram[PONG_BALL]
    if abs(below) <= PONG_SLACK:
        return PONG_STAY
    return PONG_UP if below > 0 else PONG_DOWN


@dataclasses.dataclass(frozen=True)
class GuidedGame:
    """A game with a guide.

    Attributes:
        guide: returns an action, given the RAM.
        actions: actions to try before the guide.
        holds: numbers of decisions for which to hold them.
    """

    guide: Guide
    actions: tuple[int, ...]
    holds: tuple[int, ...]


GUIDES = {"Pong": GuidedGame(pong_guide, (PONG_UP, PONG_DOWN, PONG_STAY), (3, 6, 10))}


@dataclasses.dataclass(frozen=True)
class GuidedPlan:
    """A simulated plan.

    Attributes:
        actions: the actions, up to the first point or the horizon.
        score: the point, negative if the opponent scored; 0 if nobody scored.
    """

    actions: list[int]
    score: float


def follow_guide(
    emulator: AleEmulator, state: GameState, *, first: list[int], guide: Guide, horizon: int
) -> GuidedPlan:
    """Simulates some actions and then the guide, until the score changes.

    Args:
        emulator: the game.
        state: the current state.
        first: actions before the guide.
        guide: the guide.
        horizon: most decisions in all.
    """
    actions: list[int] = []
    for depth in range(horizon):
        actions.append(first[depth] if depth < len(first) else guide(state.ram))
        state, score, _ = emulator.step(state, actions[-1])
        if score:
            return GuidedPlan(actions, score)
    return GuidedPlan(actions, 0.0)


def guided_search(emulator: AleEmulator, state: GameState, game: GuidedGame, horizon: int) -> GuidedPlan:
    """Returns the guide's own plan if it scores, else the best plan with a held action first.

    Args:
        emulator: the game.
        state: the current state.
        game: the guide and the actions to try.
        horizon: most decisions of a plan.
    """
    best = follow_guide(emulator, state, first=[], guide=game.guide, horizon=horizon)
    if best.score > 0:
        return best
    for hold in game.holds:
        for action in game.actions:
            plan = follow_guide(emulator, state, first=[action] * hold, guide=game.guide, horizon=horizon)
            if plan.score > best.score:
                best = plan
    return best


class GuidedAlePlanner(AlePlanner):
    """Plans for N envpool environments of one ALE game that has a guide, without random numbers.

    Args:
        game: envpool's name, such as `Pong-v5`.
        num_envs: number of environments, N.
        seed: not used.
        horizon: decisions of lookahead.
        commit: decisions to take of a plan that does not score.

    Raises:
        ValueError: if there is no guide for the game.
    """

    def __init__(self, game: str, num_envs: int, seed: int, horizon: int = 60, commit: int = 8) -> None:
        super().__init__(game, num_envs, seed, horizon=horizon)
        if self._game not in GUIDES:
            raise ValueError(f"no guide for {game!r}; there is one for {', '.join(sorted(GUIDES))}")
        self._guided, self._commit = GUIDES[self._game], commit

    def describe(self) -> dict[str, Any]:
        return {
            "name": f"ale-guided/{self._game}",
            "kind": "planner",
            "horizon": self._horizon,
            "commit": self._commit,
            "actions": self._guided.actions,
            "holds": self._guided.holds,
        }

    def _plan(self, state: GameState, random: np.random.Generator) -> list[int]:
        plan = guided_search(self._emulator, state, self._guided, self._horizon)
        return plan.actions if plan.score > 0 else plan.actions[: self._commit]
