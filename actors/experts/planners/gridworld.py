"""An expert for MiniGrid: A* to the goal, around lava and through doors, with keys for locked ones."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from actors.experts.planners.astar import PlanFollower, search
from gato_dist.envs.minigrid_vector import MinigridVector

LEFT, RIGHT, FORWARD, PICKUP, TOGGLE, DONE = 0, 1, 2, 3, 5, 6
# Column and row of a step in each direction, clockwise from right: MiniGrid's order.
STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))

Cell = tuple[int, int]


class GridState(NamedTuple):
    """A state of the search.

    Attributes:
        position: the agent's cell.
        direction: the agent's direction, an index into `STEPS`.
        key: colour of the key that the agent carries; None without a key.
        opened: doors that are open.
        taken: cells whose key was picked up.
    """

    position: Cell
    direction: int
    key: str | None
    opened: frozenset[Cell]
    taken: frozenset[Cell]


class MinigridLevel:
    """The level of a MiniGrid environment, from its current state on.

    Args:
        env: minigrid's environment.
    """

    def __init__(self, env: Any) -> None:
        cells = {(x, y): env.grid.get(x, y) for x in range(env.width) for y in range(env.height)}
        kinds = {cell: thing.type if thing else "empty" for cell, thing in cells.items()}
        self._floor = {cell for cell, kind in kinds.items() if kind in ("empty", "floor", "goal")}
        self._goals = {cell for cell, kind in kinds.items() if kind == "goal"}
        self._doors = {cell: cells[cell] for cell, kind in kinds.items() if kind == "door"}
        self._keys = {cell: cells[cell].color for cell, kind in kinds.items() if kind == "key"}
        position = (int(env.agent_pos[0]), int(env.agent_pos[1]))
        carried = env.carrying.color if env.carrying and env.carrying.type == "key" else None
        opened = frozenset(cell for cell, door in self._doors.items() if door.is_open)
        self.start = GridState(position, int(env.agent_dir), carried, opened, frozenset())

    def plan(self, nodes: int) -> list[int] | None:
        """Returns the shortest plan to a goal; None if there is no goal, or no plan within `nodes` expansions."""
        if not self._goals:
            return None
        return search(
            self.start, lambda state: state.position in self._goals, self._successors, self._estimate, nodes=nodes
        )

    def _estimate(self, state: GridState) -> float:
        return min(abs(state.position[0] - x) + abs(state.position[1] - y) for x, y in self._goals)

    def _successors(self, state: GridState) -> Iterator[tuple[int, GridState, int]]:
        yield LEFT, state._replace(direction=(state.direction - 1) % 4), 1
        yield RIGHT, state._replace(direction=(state.direction + 1) % 4), 1
        step = STEPS[state.direction]
        ahead = (state.position[0] + step[0], state.position[1] + step[1])
        if ahead in self._floor or ahead in state.opened or ahead in state.taken:
            yield FORWARD, state._replace(position=ahead), 1
        elif ahead in self._doors:
            door = self._doors[ahead]
            if not door.is_locked or door.color == state.key:
                yield TOGGLE, state._replace(opened=state.opened | {ahead}), 1
        elif ahead in self._keys and state.key is None:
            yield PICKUP, state._replace(key=self._keys[ahead], taken=state.taken | {ahead}), 1


class GridworldPlanner(PlanFollower):
    """Plans from the state of each environment. It does nothing if there is no way to the goal.

    Args:
        env: the environments.
        nodes: expansions after which a search gives up.
    """

    def __init__(self, env: MinigridVector, nodes: int = 200_000) -> None:
        super().__init__(len(env.envs), lambda i, _: MinigridLevel(env.envs[i]).plan(nodes), lambda: DONE)
        self._nodes = nodes

    def describe(self) -> dict[str, Any]:
        from importlib.metadata import version

        return {"name": "gridworld A*", "kind": "astar", "nodes": self._nodes, "minigrid": version("minigrid")}
