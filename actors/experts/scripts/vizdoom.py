"""Scripts for VizDoom's scenarios. They see only what Gato sees: one frame of 64×80 pixels.

Monsters cross the horizon (row 34) at any distance, since they are taller than the player's eyes. On the horizon, walls
have similar colours, and corpses, weapons and boxes lie below it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

MIDDLE = 39.5  # the column that shots hit
# envpool numbers a pair of buttons as neither, right, left. Adding 3 adds forward (if there are only turns) or attack.
STILL, RIGHT, LEFT = 0, 1, 2
SHOOT = FORWARD = 3
# Deadly corridor has all seven buttons: attack × strafe × (neither, back, forward) × turn.
CORRIDOR_SHOOT, CORRIDOR_FORWARD = 27, 6
SHOT_STEPS = 4
SKY_ROW, DARK, WHITE, BOX_SHAPE = 8, 20, 100, 1.2

ColumnRun = tuple[float, int]  # middle and width of a run of columns
Rule = Callable[[np.ndarray, int], int]  # (frame int16 [64, 80, 3], its number in the episode) → action


def column_runs(columns: np.ndarray) -> list[ColumnRun]:
    """Returns the runs of true columns, bool [W], from left to right. Gaps of one column are bridged."""
    at = np.flatnonzero(columns)
    if not len(at):
        return []
    runs = np.split(at, np.flatnonzero(np.diff(at) > 2) + 1)
    return [((run[0] + run[-1]) / 2, int(run[-1] - run[0] + 1)) for run in runs]


def nearest_monster(columns: np.ndarray) -> ColumnRun | None:
    """Returns the widest run of columns, bool [W]; of equals, the one closest to the middle. None without a run."""
    return max(column_runs(columns), key=lambda group: (group[1], -abs(group[0] - MIDDLE)), default=None)


def aim_direction(target: ColumnRun, reach: float) -> int:
    """Returns STILL if a shot hits or misses by at most `reach` columns, else the side that the target is on."""
    if abs(target[0] - MIDDLE) <= max(reach, target[1] / 2):
        return STILL
    return RIGHT if target[0] > MIDDLE else LEFT


def basic_monster(frame: np.ndarray) -> np.ndarray:
    """Returns the columns, bool [W], with a blue or red creature in front of brown walls."""
    red, green, blue = np.moveaxis(frame[27:38], -1, 0)
    return ((blue > green + 3) | (red > 2.2 * green)).sum(axis=0) >= 2


def center_monsters(frame: np.ndarray) -> np.ndarray:
    """Marks the image columns that show a monster in the center scenarios: darker or redder than the light brown wall.

    Args:
        frame: RGB, int [H, W, 3].

    Returns:
        bool [W].
    """
    red, green, blue = np.moveaxis(frame[31:34], -1, 0)
    return ((red + green + blue < 190) | (red > 1.7 * green)).any(axis=0)


def line_monsters(frame: np.ndarray) -> np.ndarray:
    """Returns the columns, bool [W], with a pink demon, or with an imp, which is darker than all walls."""
    red, green, blue = np.moveaxis(frame[29:35], -1, 0)
    demon, imp = red > 1.75 * green, red + green + blue < 130
    return (demon.sum(axis=0) >= 2) | (imp.sum(axis=0) >= 3)


def corridor_monsters(frame: np.ndarray) -> np.ndarray:
    """Returns the columns, bool [W], with a soldier's blue, which nothing else in the corridor has."""
    red, _, blue = np.moveaxis(frame[26:40], -1, 0)
    return (blue > red + 6).any(axis=0)


def medikit(frame: np.ndarray) -> float | None:
    """Returns the column of the nearest white box, None without one.

    Bottles, which are poison, are taller than wide. Columns in which a wall hides the sky do not count, since walls
    have bright spots.
    """
    white = (frame[33:].min(axis=-1) >= WHITE) & (frame[SKY_ROW].mean(axis=-1) < DARK)
    boxes = []
    for middle, width in column_runs(white.any(axis=0)):
        first = int(middle - (width - 1) / 2)
        rows = np.flatnonzero(white[:, first : first + width].any(axis=1))
        height = rows[-1] - rows[0] + 1
        if width >= BOX_SHAPE * height or rows[-1] >= len(white) - 2:
            boxes.append((rows[-1], middle))
    return max(boxes)[1] if boxes else None


def _basic(frame: np.ndarray, number: int) -> int:
    # envpool gives no reward for an episode's last step, and the first shot of a pistol at rest always falls into it.
    # The pistol's cycle is not a multiple of a step, so shooting in every fourth step shifts the shots within a step.
    target = nearest_monster(basic_monster(frame))
    move = RIGHT if target is None else aim_direction(target, 2.0)
    return move + (SHOOT if number % SHOT_STEPS == 0 else 0)


def _center(frame: np.ndarray, number: int) -> int:
    target = nearest_monster(center_monsters(frame))
    turn = RIGHT if target is None else aim_direction(target, 1.0)
    return turn or SHOOT  # there are only 26 shots


def _line(frame: np.ndarray, number: int) -> int:
    target = nearest_monster(line_monsters(frame))
    return RIGHT if target is None else SHOOT + aim_direction(target, 1.0)


def _corridor(frame: np.ndarray, number: int) -> int:
    target = nearest_monster(corridor_monsters(frame))
    return CORRIDOR_FORWARD if target is None else CORRIDOR_SHOOT + aim_direction(target, 2.0)


def _gather(frame: np.ndarray, number: int) -> int:
    box = medikit(frame)
    if box is None:
        blocked = frame[SKY_ROW, 30:50].mean() > DARK
        return RIGHT if blocked else FORWARD
    return FORWARD + aim_direction((box, 1), 4.0)


_RULES: dict[str, Rule] = {
    "Basic-v1": _basic,
    "DefendTheCenter-v1": _center,
    "DefendTheLine-v1": _line,
    "DeadlyCorridor-v1": _corridor,
    "HealthGathering-v1": _gather,
    "HealthGatheringSupreme-v1": _gather,
    "D1Basic-v1": _gather,
    "D2Navigation-v1": _gather,
}
VERSION = 1  # increases with every change of the scripts' behaviour


class VizdoomScript(Policy):
    """The script of a scenario. Its actions depend on the frame, and in `basic` also on the frame's number.

    Args:
        scenario: envpool's name.
        num_envs: number of environments, N.

    Raises:
        ValueError: if there is no script for the scenario.
    """

    def __init__(self, scenario: str, num_envs: int) -> None:
        if scenario not in _RULES:
            raise ValueError(f"no script for {scenario}; there is one for {', '.join(_RULES)}")
        self._scenario, self._rule = scenario, _RULES[scenario]
        self._numbers = np.zeros(num_envs, np.int64)

    def reset(self, env_ids: np.ndarray) -> None:
        """Restarts counting these environments' frames."""
        self._numbers[env_ids] = 0

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Returns actions, int64 [N], for `image` uint8 [N, 64, 80, 3], and counts a frame per active environment."""
        actions = np.zeros(len(active), np.int64)
        for i in np.flatnonzero(active):
            actions[i] = self._rule(observations["image"][i].astype(np.int16), int(self._numbers[i]))
        self._numbers[active] += 1
        return actions

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Returns the same as `act`, int64 [N]. Call it in every step, since it counts frames."""
        return self.act(observations, {}, active)

    def describe(self) -> dict[str, Any]:
        return {"name": f"script {self._scenario}", "kind": "scripted", "version": VERSION}
