"""Which tasks of a run Gato actors play, and what sequences they have beside demonstrations."""

from actors.experts.registry import find_kind
from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.sources import Source

COORDINATOR_CALLS = 2500  # a second: about half a core of the coordinator's (tests/benchmarks/coordinator.py)
# A second of one process at most, where nothing is stretched. An expert tells figures, asks whether the run ends, and
# where its replay server is. Others ask for weights, guidance or jobs twice a second as well; a learner's worker asks
# where each server is that it reads.
EXPERT_CALLS, OTHER_CALLS = 3, 7


def gato_actors(config: RunConfig, task: TaskConfig) -> int:
    """How many Gato actors roll out this task: none where it would come to nothing."""
    asked = config.relabel.actors if task.relabel_actors is None else task.relabel_actors
    return asked if _labels(task) or config.relabel.self_imitation_threshold is not None else 0


def gato_sources(config: RunConfig, task: TaskConfig) -> list[Source]:
    """What this task's Gato actors write."""
    if not gato_actors(config, task):
        return []
    found = [Source.RELABELLED] if _labels(task) else []
    return found + [Source.SELF] * (config.relabel.self_imitation_threshold is not None)


def without_labels(config: RunConfig) -> list[str]:
    """Tasks that Gato actors were asked for, but whose experts cannot label."""
    asked = [task for task in config.tasks if config.relabel.actors or task.relabel_actors]
    return [task.name for task in asked if task.relabel_actors != 0 and not _labels(task)]


def _labels(task: TaskConfig) -> bool:
    return find_kind(task.name, task.expert).labels


def poll_interval_scale(config: RunConfig) -> float:
    """How many times as long as with few of them every process waits between two calls to the coordinator; at least 1.

    So that the coordinator, which answers one call at a time, never is what a large run waits for.
    """
    experts = len(config.tasks) * config.actors.copies
    others = sum(gato_actors(config, task) for task in config.tasks) + config.evaluation.actors + config.learner.workers
    calls = EXPERT_CALLS * experts + OTHER_CALLS * others + config.learner.workers * config.replay.shards
    return max(1.0, calls / COORDINATOR_CALLS)
