"""What an environment looks like to a person: one RGB picture of its present state, for every suite.

envpool draws all of its suites but Sokoban, whose sprites its wheel lacks. Drawing never changes an episode.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import VectorEnv
from gato_dist.specs import Modality
from gato_dist.tasks import task_entry

_MINIGRID = ("left", "right", "forward", "pick up", "drop", "toggle", "done")
_TILE = 32
_FLOOR, _WALL, _GROUT = (226, 218, 200), (104, 84, 72), (78, 62, 54)
_TARGET, _BOX, _SOLVED, _AGENT = (214, 82, 82), (196, 142, 62), (92, 160, 84), (52, 96, 186)


@runtime_checkable
class Renderable(Protocol):
    """A `VectorEnv` that can draw its environments."""

    def render(self, row: int, camera: int = -1) -> np.ndarray:
        """Environment `row` as it stands now: uint8 [H, W, 3]. camera: MuJoCo's number, −1 for its default."""
        ...


@dataclass(frozen=True)
class RenderStyle:
    """How a suite is shown.

    fps: frames a second at which it looks natural. camera: as `Renderable.render`. turned: by half a turn.
    actions: names of discrete actions. draw: makes the picture [H, W, 3] of one environment from its observation.
    """

    fps: int = 15
    camera: int = -1
    turned: bool = False
    actions: tuple[str, ...] = ()
    draw: Callable[[Observations, int], np.ndarray] | None = None


def render_style(task: str) -> RenderStyle:
    """How a task's suite is shown. Raises InputError for an unknown task."""
    return _STYLES.get(task_entry(task).family, RenderStyle())


def draw_picture(env: VectorEnv, observations: Observations, row: int = 0) -> np.ndarray:
    """The present state of environment `row`, which shows `observations`: uint8 [H, W, 3].

    Raises InputError where the task has no picture, or where this machine cannot draw it.
    """
    task = env.spec.name
    style = render_style(task)
    if style.draw:
        return style.draw(observations, row)
    if isinstance(env, Renderable):
        try:
            picture = env.render(row, style.camera)
        except RuntimeError as error:
            raise InputError(
                f"{task}: this machine cannot draw it ({error}); MuJoCo draws through EGL: apt-get install libegl1"
            ) from error
        return picture[::-1, ::-1] if style.turned else picture
    for part in env.spec.observations:
        if part.modality is Modality.IMAGE:
            return np.asarray(observations[part.name][row])
    raise InputError(f"{task}: has no picture; its observations are numbers and its environment does not draw")


def draw_sokoban(observations: Observations, row: int) -> np.ndarray:
    """Tiles of `grid` [N, H, W, 2] (agent 3 and box 4 on channel 0, wall 1 and target 2 on channel 1)."""
    grid = np.asarray(observations["grid"][row])
    tiles = [np.concatenate([_sokoban_tile(*cell) for cell in line], axis=1) for line in grid.tolist()]
    return np.concatenate(tiles)


def _sokoban_tile(thing: int, ground: int) -> np.ndarray:
    """uint8 [_TILE, _TILE, 3]."""
    tile = np.full((_TILE, _TILE, 3), _FLOOR, np.uint8)
    tile[0], tile[:, 0] = np.subtract(_FLOOR, 14), np.subtract(_FLOOR, 14)
    at = np.arange(_TILE) - (_TILE - 1) / 2
    y, x = at[:, None], at[None]
    if ground == 1:
        tile[:] = _WALL
        tile[:: _TILE // 2] = _GROUT
        tile[: _TILE // 2, _TILE // 4], tile[_TILE // 2 :, 3 * _TILE // 4] = _GROUT, _GROUT
    if ground == 2:
        tile[abs(x) + abs(y) < _TILE * 0.25] = _TARGET
    if thing == 4:
        edge = np.maximum(abs(x), abs(y))
        colour = _SOLVED if ground == 2 else _BOX
        tile[edge < _TILE * 0.42] = np.subtract(colour, 50)
        tile[edge < _TILE * 0.34] = colour
    if thing == 3:
        tile[x**2 + y**2 < (_TILE * 0.36) ** 2] = _AGENT
    return tile


_STYLES = {
    # 60 screens a second, of which a policy sees one in four.
    "ale": RenderStyle(15),
    "procgen": RenderStyle(15),
    # 35 tics a second, of which a policy sees one in four.
    "vizdoom": RenderStyle(9),
    # Camera 0 follows the body in the suite's domains that move away.
    "dm_control": RenderStyle(40, camera=0),
    # `corner2`, which Meta-World mounts upside down; the default stands behind the arm, which then hides its work.
    "metaworld": RenderStyle(40, camera=2, turned=True),
    "mujoco": RenderStyle(25),
    "babyai": RenderStyle(5, actions=_MINIGRID),
    "minigrid": RenderStyle(5, actions=_MINIGRID),
    "sokoban": RenderStyle(5, actions=("up", "right", "down", "left"), draw=draw_sokoban),
}
