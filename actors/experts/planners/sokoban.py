"""Sokoban's expert: A* over pushes, from nothing but the grid that the observation shows."""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np

from actors.experts.planners.astar import UNREACHABLE, PlanFollower, search
from gato_dist.episode import Observations

# Row and column of a step up, right, down, left: the order of Jumanji's actions.
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))
WALL, TARGET, AGENT, BOX = 1, 2, 3, 4

Cell = tuple[int, int]
SokobanState = tuple[Cell, frozenset[Cell]]  # the agent, the boxes


class SokobanLevel:
    """One grid: uint8 [H, W, 2], what moves in channel 0 and what does not in channel 1."""

    def __init__(self, grid: np.ndarray) -> None:
        moving, fixed = grid[..., 0], grid[..., 1]
        self._free = {tuple(cell) for cell in np.argwhere(fixed != WALL).tolist()}
        self._targets = {tuple(cell) for cell in np.argwhere(fixed == TARGET).tolist()}
        (agent,) = np.argwhere(moving == AGENT).tolist()
        boxes = frozenset(tuple(cell) for cell in np.argwhere(moving == BOX).tolist())
        self.start: SokobanState = (tuple(agent), boxes)
        self._pushes_left = self._distances()

    def plan(self, weight: float, nodes: int) -> list[int] | None:
        """Actions that push every box onto a target; None where none is found within `nodes` expansions."""
        pushes = search(self.start, self._solved, self._successors, self._estimate, weight, nodes)
        return None if pushes is None else [action for walk in pushes for action in walk]

    def _solved(self, state: SokobanState) -> bool:
        return state[1] <= self._targets

    def _estimate(self, state: SokobanState) -> float:
        return sum(self._pushes_left.get(box, UNREACHABLE) for box in state[1])

    def _successors(self, state: SokobanState) -> Iterator[tuple[tuple[int, ...], SokobanState, int]]:
        """Every push there is, with the walk to it; its cost is the number of steps."""
        agent, boxes = state
        walks = self._walks(agent, boxes)
        for box in boxes:
            for action, (row, column) in enumerate(MOVES):
                behind, ahead = (box[0] - row, box[1] - column), (box[0] + row, box[1] + column)
                # A cell from which no push leads to a target is a dead end.
                if behind in walks and ahead in self._pushes_left and ahead not in boxes:
                    walk = (*walks[behind], action)
                    yield walk, (box, boxes - {box} | {ahead}), len(walk)

    def _walks(self, agent: Cell, boxes: frozenset[Cell]) -> dict[Cell, tuple[int, ...]]:
        """A shortest walk to every cell that the agent can reach without pushing."""
        walks: dict[Cell, tuple[int, ...]] = {agent: ()}
        queue = deque([agent])
        while queue:
            cell = queue.popleft()
            for action, (row, column) in enumerate(MOVES):
                after = (cell[0] + row, cell[1] + column)
                if after in self._free and after not in boxes and after not in walks:
                    walks[after] = (*walks[cell], action)
                    queue.append(after)
        return walks

    def _distances(self) -> dict[Cell, int]:
        """The fewest pushes from a cell to the nearest target on an otherwise empty grid; only cells that have one."""
        distances = dict.fromkeys(self._targets, 0)
        queue = deque(self._targets)
        while queue:
            cell = queue.popleft()
            for row, column in MOVES:
                box, agent = (cell[0] - row, cell[1] - column), (cell[0] - 2 * row, cell[1] - 2 * column)
                if box in self._free and agent in self._free and box not in distances:
                    distances[box] = distances[cell] + 1
                    queue.append(box)
        return distances


class SokobanPlanner(PlanFollower):
    """Solves each level when it is first seen, from the grid alone.

    weight: of the estimate in A*. nodes: expansions after which a level counts as unsolved for now: the agent takes a
    random step and looks again.
    """

    def __init__(self, env: str, num_envs: int, seed: int, weight: float = 2.0, nodes: int = 100_000) -> None:
        super().__init__(num_envs, self._solve, lambda: int(self._random.integers(len(MOVES))))
        self._weight, self._nodes = weight, nodes
        self._random = np.random.default_rng(seed)

    def describe(self) -> dict[str, Any]:
        return {"name": "sokoban A*", "kind": "astar", "weight": self._weight, "nodes": self._nodes}

    def _solve(self, i: int, observations: Observations) -> list[int] | None:
        return SokobanLevel(np.asarray(observations["grid"][i])).plan(self._weight, self._nodes)
