"""An expert for Sokoban: A* over pushes, from the observed grid alone."""

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
    """A level of Sokoban as a search problem.

    Args:
        grid: uint8 [H, W, 2]: agent and boxes in channel 0, walls and targets in channel 1.
    """

    def __init__(self, grid: np.ndarray) -> None:
        moving, fixed = grid[..., 0], grid[..., 1]
        self._free = {tuple(cell) for cell in np.argwhere(fixed != WALL).tolist()}
        self._targets = {tuple(cell) for cell in np.argwhere(fixed == TARGET).tolist()}
        (agent,) = np.argwhere(moving == AGENT).tolist()
        boxes = frozenset(tuple(cell) for cell in np.argwhere(moving == BOX).tolist())
        self.start: SokobanState = (tuple(agent), boxes)
        self._pushes_left = self._distances()

    def plan(self, weight: float, nodes: int) -> list[int] | None:
        """Returns actions that push every box onto a target.

        Args:
            weight: of the estimate in A*.
            nodes: expansions after which the search gives up.

        Returns:
            The actions; None if none were found.
        """
        pushes = search(self.start, self._solved, self._successors, self._estimate, weight=weight, nodes=nodes)
        return None if pushes is None else [action for walk in pushes for action in walk]

    def _solved(self, state: SokobanState) -> bool:
        return state[1] <= self._targets

    def _estimate(self, state: SokobanState) -> float:
        return sum(self._pushes_left.get(box, UNREACHABLE) for box in state[1])

    def _successors(self, state: SokobanState) -> Iterator[tuple[tuple[int, ...], SokobanState, int]]:
        """Yields every possible push, with the walk to it; its cost is the number of steps."""
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
        """Returns a shortest walk to every cell that the agent can reach without pushing."""
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
        """Returns the fewest pushes from each cell to the nearest target, if there were no other boxes."""
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
    """Solves each level when an episode begins.

    Args:
        env: envpool's name; not used, since all tasks are planned alike.
        num_envs: number of environments.
        seed: of the random steps.
        weight: of the estimate in A*. Above 1, plans are found faster but may be longer.
        nodes: expansions after which a search gives up. The agent then takes a random step and searches again.
    """

    def __init__(self, env: str, num_envs: int, seed: int, weight: float = 2.0, nodes: int = 100_000) -> None:
        super().__init__(num_envs, self._solve, lambda: int(self._random.integers(len(MOVES))))
        self._weight, self._nodes = weight, nodes
        self._random = np.random.default_rng(seed)

    def describe(self) -> dict[str, Any]:
        return {"name": "sokoban A*", "kind": "astar", "weight": self._weight, "nodes": self._nodes}

    def _solve(self, i: int, observations: Observations) -> list[int] | None:
        return SokobanLevel(np.asarray(observations["grid"][i])).plan(self._weight, self._nodes)
