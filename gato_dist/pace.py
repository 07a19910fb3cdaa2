"""How often the processes of a run speak to its one board."""

from gato_dist.config import RunConfig
from gato_dist.relabelling import gato_actors

BOARD_CALLS = 2500  # a second: about half a core of the board's (tests/benchmarks/board.py)
# A second of one process at most, where nothing is stretched. An expert tells figures, asks whether the run ends, and
# where its replay server is. Others ask for weights, guidance or jobs twice a second as well; a learner's worker asks
# where each server is that it reads.
EXPERT_CALLS, OTHER_CALLS = 3, 7


def board_stretch(config: RunConfig) -> float:
    """How many times as long as with few of them every process waits between two calls to the board; at least 1.

    So that the board, which answers one call at a time, never is what a large run waits for.
    """
    experts = len(config.tasks) * config.actors.copies
    others = sum(gato_actors(config, task) for task in config.tasks) + config.evaluation.actors + config.learner.workers
    calls = EXPERT_CALLS * experts + OTHER_CALLS * others + config.learner.workers * config.replay.shards
    return max(1.0, calls / BOARD_CALLS)
