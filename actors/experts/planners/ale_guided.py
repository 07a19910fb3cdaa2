"""A planner for ALE games that looks ahead along a guide: a rule on the game's RAM that plays passably by itself.

The rollout algorithm (Bertsekas, Tsitsiklis and Wu, 1997): follow the guide in a clone of the emulator until a point
falls; where that is no point won, try short held actions first and the guide afterwards, and take what scores best.
What results is the guide's play nearly everywhere, so that one frame explains most actions, and better than the guide
where it matters. The guide reads positions from RAM that the frame shows as well.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from actors.experts.planners.ale import AlePlanner
from actors.experts.planners.ale_emulator import AleEmulator, GameState

Guide = Callable[[bytes], int]

# Rows of Pong's RAM, and where on the paddle the ball is to land: off centre, so that it leaves at an angle.
PONG_PADDLE, PONG_BALL = 51, 54
PONG_OFFSET, PONG_SLACK = 6, 2
PONG_STAY, PONG_UP, PONG_DOWN = 0, 2, 3


def pong_guide(ram: bytes) -> int:
    """Keeps the paddle level with the ball; stays where there is no ball."""
    if ram[PONG_BALL] == 0:
        return PONG_STAY
    below = ram[PONG_PADDLE] + PONG_OFFSET - ram[PONG_BALL]
    if abs(below) <= PONG_SLACK:
        return PONG_STAY
    return PONG_UP if below > 0 else PONG_DOWN


@dataclasses.dataclass(frozen=True)
class GuidedGame:
    """A game's guide, the actions tried in its place, and for how many decisions each is held."""

    guide: Guide
    actions: tuple[int, ...]
    holds: tuple[int, ...]


GUIDES = {"Pong": GuidedGame(pong_guide, (PONG_UP, PONG_DOWN, PONG_STAY), (3, 6, 10))}


@dataclasses.dataclass(frozen=True)
class GuidedPlan:
    """Actions from a state until a point fell, or the horizon: and the point, 0 where none fell."""

    actions: list[int]
    score: float


def follow_guide(emulator: AleEmulator, state: GameState, first: list[int], guide: Guide, horizon: int) -> GuidedPlan:
    """Plays `first`, then the guide, for at most `horizon` decisions in all or until the score changes."""
    actions: list[int] = []
    for depth in range(horizon):
        actions.append(first[depth] if depth < len(first) else guide(state.ram))
        state, score, _ = emulator.step(state, actions[-1])
        if score:
            return GuidedPlan(actions, score)
    return GuidedPlan(actions, 0.0)


def guided_search(emulator: AleEmulator, state: GameState, game: GuidedGame, horizon: int) -> GuidedPlan:
    """The guide's own line if it scores; else the best of it and of every held action before it, first of equals."""
    best = follow_guide(emulator, state, [], game.guide, horizon)
    if best.score > 0:
        return best
    for hold in game.holds:
        for action in game.actions:
            line = follow_guide(emulator, state, [action] * hold, game.guide, horizon)
            if line.score > best.score:
                best = line
    return best


class GuidedAlePlanner(AlePlanner):
    """Plans for N envpool environments of one ALE game that has a guide; follows envpool as `AlePlanner` does.

    horizon: decisions looked ahead; commit: decisions played of a line that does not score. Draws no random number:
    an episode is a function of its start and of what disturbs it. Raises ValueError for a game without a guide.
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
        line = guided_search(self._emulator, state, self._guided, self._horizon)
        return line.actions if line.score > 0 else line.actions[: self._commit]
