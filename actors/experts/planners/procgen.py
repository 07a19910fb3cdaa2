"""A planner for Procgen: an expert that searches in clones of the game instead of being trained.

envpool's games cannot be cloned. Therefore a shadow of each game, started from the level seed that envpool reports,
follows it in the `procgen-mirror` package, and clones of the shadow are searched. There are three searches:

* `shoot` tries every pair of held actions and takes the beginning of the best. For games with many rewards.
* `repair` repeats one default action, and corrects the plan before each death with a short deviation. For games with
  one reward at the goal. A habit with exceptions is easier to imitate than the result of a free search.
* `explore` searches breadth first for the nearest reward, and treats states that look alike as one. For mazes.

Easy and hard levels are searched alike.
"""

import dataclasses
import re
from typing import Any

import numpy as np

from actors.experts.planners.procgen_clones import MODES, ProcgenClones
from actors.experts.planners.procgen_search import Exploring, Repairing, Shooting, explore, held_pairs, repair, shoot
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

LEFT, DOWN, STAY, UP, RIGHT, FIRE = 1, 3, 4, 5, 7, 9
LEFT_DOWN, LEFT_UP, RIGHT_DOWN, RIGHT_UP = 0, 2, 6, 8
_ALL_WAYS = (STAY, UP, DOWN, LEFT, RIGHT, LEFT_UP, LEFT_DOWN, RIGHT_UP, RIGHT_DOWN)
# Two builds of Qt draw the edges of sprites differently: up to 123 of 12,288 values by more than 16 levels (measured in
# caveflyer, ninja and hard coinrun), while rewards and ends agree. After a missed step, many hundreds of values differ.
_LEVEL_TOLERANCE = 16
_SHARE_TOLERANCE = 0.02


class FrameMismatch(RuntimeError):
    """The shadow game shows another frame than the environment, so that its plans would be wrong."""


Search = Shooting | Repairing | Exploring

GAMES: dict[str, Search] = {
    "coinrun": Repairing(
        default=RIGHT_UP,
        deviations=((RIGHT, 4, 0), (RIGHT, 8, 0), (STAY, 4, 4), (STAY, 10, 10), (UP, 6, 6), (LEFT, 6, 12)),
        window=10, limit=300, repairs=16,
    ),
    "leaper": Repairing(
        default=UP,
        deviations=(
            (STAY, 4, 4), (STAY, 10, 10), (LEFT, 4, 4), (RIGHT, 4, 4), (DOWN, 4, 8), (LEFT, 10, 10), (RIGHT, 10, 10)
        ),
        window=10, limit=200, repairs=16,
    ),
    "ninja": Repairing(
        default=RIGHT_UP,
        deviations=(
            (RIGHT, 4, 0), (RIGHT, 8, 0), (STAY, 4, 4), (STAY, 10, 10), (UP, 6, 6), (LEFT, 6, 12), (FIRE, 1, 1)
        ),
        window=10, limit=300, repairs=16,
    ),
    "bigfish": Shooting(_ALL_WAYS, holds=(6,), horizon=24, commit=3),
    "dodgeball": Exploring((UP, DOWN, LEFT, RIGHT, FIRE), hold=3, layers=20, width=60, grain=4),
    "climber": Exploring((LEFT, RIGHT, LEFT_UP, RIGHT_UP, UP, STAY), hold=4, layers=20, width=24, grain=4),
    "chaser": Shooting((UP, DOWN, LEFT, RIGHT), holds=(2, 4, 8), horizon=16, commit=2),
    "fruitbot": Shooting((STAY, LEFT, RIGHT, FIRE), holds=(3, 6, 12, 20), horizon=30, commit=3),
    "plunder": Shooting((STAY, LEFT, RIGHT, FIRE), holds=(3, 8), horizon=30, commit=4),
    "starpilot": Shooting((FIRE, *_ALL_WAYS[1:]), holds=(6, 12), horizon=24, commit=3),
    "caveflyer": Exploring((UP, LEFT, RIGHT, STAY, DOWN, FIRE), hold=5, layers=30, width=40, grain=4),
    "heist": Exploring((UP, DOWN, LEFT, RIGHT), hold=3, layers=60, width=24, grain=2),
    "jumper": Exploring((LEFT, RIGHT, LEFT_UP, RIGHT_UP, UP), hold=5, layers=40, width=60, grain=4),
    "maze": Exploring((UP, DOWN, LEFT, RIGHT), hold=1, layers=200, width=100),
    "miner": Exploring((UP, DOWN, LEFT, RIGHT), hold=1, layers=40, width=60),
}  # fmt: skip
COPIES = 32  # copies of a game that `explore` steps together


class ProcgenPlanner(Policy):
    """Plans for N environments of one Procgen game, without random numbers.

    Args:
        game: envpool's name, such as `MinerHard-v0`.
        num_envs: number of environments, N.
        seed: not used; all planners have the same arguments.
        **budget: replaces fields of the game's search.

    Raises:
        ValueError: if there is no search for the game.
        TypeError: if its search does not have a field of `budget`.
        ImportError: if procgen-mirror, gym3 or Qt5 is missing.
    """

    def __init__(self, game: str, num_envs: int, seed: int, **budget: Any) -> None:
        parts = re.fullmatch(f"(.+)({'|'.join(MODES)})-v0", game)
        if parts is None or parts[1].lower() not in GAMES:
            raise ValueError(f"no Procgen planner for {game!r}; there is one for {', '.join(sorted(GAMES))}")
        self.name, self._game, self._mode = game, parts[1].lower(), parts[2]
        self.search = dataclasses.replace(GAMES[self._game], **budget)
        self._clones = ProcgenClones(self._game, _copies(self.search), 0, self._mode)
        self._walker = ProcgenClones(self._game, 1, 0, self._mode)
        self._shadows: list[ProcgenClones | None] = [None] * num_envs
        self._plans: list[list[int]] = [[] for _ in range(num_envs)]
        self._played = np.full(num_envs, STAY, np.int64)
        self._steps = [0] * num_envs

    def reset(self, env_ids: np.ndarray) -> None:
        """Drops the shadows of these environments, int [M], which begin a new episode at the next `act`."""
        for row in env_ids:
            if (shadow := self._shadows[row]) is not None:
                shadow.close()
            self._shadows[row], self._plans[row], self._steps[row] = None, [], 0

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Returns actions, int64 [N]; no-ops, without a search, in inactive environments.

        Args:
            observations: one image part, uint8 [N, 64, 64, 3].
            info: envpool's; `level_seed` [N] is read.
            active: bool [N].

        Raises:
            FrameMismatch: if a shadow shows another frame.
        """
        (frames,) = map(np.asarray, observations.values())
        actions = np.full(len(active), STAY, np.int64)
        for row in np.flatnonzero(active):
            level = int(info["level_seed"][row])
            shadow = self._shadows[row]
            if shadow is None:
                shadow = self._shadows[row] = ProcgenClones(self._game, 1, level, self._mode)
            else:
                shadow.step(self._played[row : row + 1])
            self._check(row, level, frames[row], shadow.frame())
            if not self._plans[row]:
                self._plans[row] = self._search(shadow.save(), self._steps[row])
            actions[row] = self._plans[row].pop(0)
            self._steps[row] += 1
        self._played = actions.copy()
        return actions

    def played(self, actions: np.ndarray) -> None:
        """Announces the actions, [N], that were taken, and drops the plans that they differ from."""
        for row in np.flatnonzero(actions != self._played):
            self._plans[row] = []
        self._played = np.array(actions, np.int64)

    def describe(self) -> dict[str, Any]:
        """Returns name, kind and all parameters, which are hashed."""
        parameters = {"search": type(self.search).__name__, **dataclasses.asdict(self.search)}
        return {"name": f"procgen_planner/{self.name}", "kind": "planner", "parameters": parameters}

    def _search(self, state: bytes, wander: int) -> list[int]:
        if isinstance(self.search, Exploring):
            return explore(self._clones, state, self.search, wander)
        if isinstance(self.search, Shooting):
            return shoot(self._clones, state, held_pairs(self.search), self.search).tolist()
        return repair(self._clones, self._walker, state, self.search).tolist()

    def _check(self, row: int, level: int, shown: np.ndarray, expected: np.ndarray) -> None:
        """Compares two uint8 frames. A few edge pixels may differ, as builds of Qt draw them differently."""
        differs = np.abs(shown.astype(np.int16) - expected) > _LEVEL_TOLERANCE
        if differs.mean() > _SHARE_TOLERANCE:
            raise FrameMismatch(
                f"{self.name}, environment {row}, level {level}: {differs.sum()} of {differs.size} values differ from "
                "the shadow game; was every action played, and is a new episode announced by reset?"
            )


def _copies(search: Search) -> int:
    """Returns how many copies of the game a search steps together."""
    if isinstance(search, Exploring):
        return COPIES
    return len(held_pairs(search)) if isinstance(search, Shooting) else search.window * len(search.deviations)
