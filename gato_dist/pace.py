"""How often the processes of a run speak to its one board."""

from gato_dist.config import RunConfig
from gato_dist.relabelling import gato_actors

BOARD_CALLS = 2500  # a second: about half a core of the board's (tests/benchmarks/board.py)
# A second of one process, where nothing is stretched. An expert tells figures, asks whether the run ends, and where its
# replay server is; a learner's worker asks the last for every server that it reads.
EXPERT_CALLS, OTHER_CALLS = 3, 5


def board_stretch(config: RunConfig) -> float:
    """How many times as long as with few of them every process waits between two calls to the board; at least 1.

    So that the board, which answers one call at a time, never is what a large run waits for.
    """
    experts = len(config.tasks) * config.actors.copies
    others = sum(gato_actors(config, task) for task in config.tasks) + config.evaluation.actors + config.learner.workers
    calls = EXPERT_CALLS * experts + OTHER_CALLS * others + config.learner.workers * config.replay.shards
    # Whoever works must be heard of a few times before it counts as hanging.
    return max(1.0, min(calls / BOARD_CALLS, config.actors.hang_seconds / 4))
