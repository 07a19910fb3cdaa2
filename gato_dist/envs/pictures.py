"""Draws the current state of an environment as an RGB picture for people, in every suite.

envpool draws all of its suites except Sokoban, since its wheel lacks the sprites. Drawing never changes an episode.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Array, VectorEnv
from gato_dist.specs import Modality
from gato_dist.tasks import task_entry

_MINIGRID = ("left", "right", "forward", "pick up", "drop", "toggle", "done")
_TILE = 32
_FLOOR, _WALL, _GROUT = (226, 218, 200), (104, 84, 72), (78, 62, 54)
_TARGET, _BOX, _SOLVED, _AGENT = (214, 82, 82), (196, 142, 62), (92, 160, 84), (52, 96, 186)


@runtime_checkable
class Renderable(Protocol):
    """A `VectorEnv` that can draw its environments."""

    def render(self, row: int, camera: int = -1) -> Array:
        """Draws the current state of one environment.

        Args:
            row: index of the environment.
            camera: MuJoCo's number of the camera; −1 for the default. Other suites ignore it.

        Returns:
            uint8 [H, W, 3].
        """
        ...


@dataclass(frozen=True)
class RenderStyle:
    """How the pictures and videos of a suite are made.

    Attributes:
        fps: frames per second at which a video looks natural.
        camera: as in `Renderable.render`.
        upside_down: whether the picture is to be rotated by 180 degrees.
        actions: names of the discrete actions.
        draw: draws an environment from the observations and its index, uint8 [H, W, 3]; None to call `render`.
    """

    fps: int = 15
    camera: int = -1
    upside_down: bool = False
    actions: tuple[str, ...] = ()
    draw: Callable[[Observations, int], Array] | None = None


def render_style(task: str) -> RenderStyle:
    """Returns how a task is drawn. Raises InputError if the task is unknown."""
    return _STYLES.get(task_entry(task).family, RenderStyle())


def draw_picture(env: VectorEnv, observations: Observations, row: int = 0) -> Array:
    """Draws the current state of one environment.

    Args:
        env: the environments.
        observations: the current observations of all of them.
        row: index of the environment to draw.

    Returns:
        uint8 [H, W, 3].

    Raises:
        InputError: if the task has no picture, or this machine cannot draw it.
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
        return picture[::-1, ::-1] if style.upside_down else picture
    for part in env.spec.observations:
        if part.modality is Modality.IMAGE:
            return np.asarray(observations[part.name][row])
    raise InputError(f"{task}: has no picture; its observations are numbers and its environment does not draw")


def draw_sokoban(observations: Observations, row: int) -> Array:
    """Draws a Sokoban level.

    Args:
        observations: `grid` uint8 [N, H, W, 2]: agent 3 and box 4 in channel 0, wall 1 and target 2 in channel 1.
        row: index of the environment to draw.

    Returns:
        uint8 [H · 32, W · 32, 3].
    """
    grid = np.asarray(observations["grid"][row])
    tiles = [np.concatenate([_sokoban_tile(*cell) for cell in cells], axis=1) for cells in grid.tolist()]
    return np.concatenate(tiles)


def _sokoban_tile(moving: int, fixed: int) -> Array:
    """Draws one cell: uint8 [_TILE, _TILE, 3]."""
    tile = np.full((_TILE, _TILE, 3), _FLOOR, np.uint8)
    tile[0], tile[:, 0] = np.subtract(_FLOOR, 14), np.subtract(_FLOOR, 14)
    at = np.arange(_TILE) - (_TILE - 1) / 2
    y, x = at[:, None], at[None]
    if fixed == 1:
        tile[:] = _WALL
        tile[:: _TILE // 2] = _GROUT
        tile[: _TILE // 2, _TILE // 4], tile[_TILE // 2 :, 3 * _TILE // 4] = _GROUT, _GROUT
    if fixed == 2:
        tile[abs(x) + abs(y) < _TILE * 0.25] = _TARGET
    if moving == 4:
        edge = np.maximum(abs(x), abs(y))
        colour = _SOLVED if fixed == 2 else _BOX
        tile[edge < _TILE * 0.42] = np.subtract(colour, 50)
        tile[edge < _TILE * 0.34] = colour
    if moving == 3:
        tile[x**2 + y**2 < (_TILE * 0.36) ** 2] = _AGENT
    return tile


_STYLES = {
    # 60 frames per second, of which a policy sees every fourth.
    "ale": RenderStyle(15),
    "procgen": RenderStyle(15),
    # 35 tics per second, of which a policy sees every fourth.
    "vizdoom": RenderStyle(9),
    # Camera 0 follows the body in the domains in which it moves away.
    "dm_control": RenderStyle(40, camera=0),
    # `corner2`, which Meta-World mounts upside down. From the default camera, the arm hides the objects.
    "metaworld": RenderStyle(40, camera=2, upside_down=True),
    "mujoco": RenderStyle(25),
    "babyai": RenderStyle(5, actions=_MINIGRID),
    "minigrid": RenderStyle(5, actions=_MINIGRID),
    "sokoban": RenderStyle(5, actions=("up", "right", "down", "left"), draw=draw_sokoban),
}
