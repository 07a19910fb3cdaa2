"""Which tasks Gato actors play, what they write, and how often a run's processes call the coordinator."""

from actors.experts.registry import find_kind
from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.config.training_sections import RelabelConfig
from gato_dist.sources import Source

COORDINATOR_CALLS = 2500  # a second: about four fifths of one core (tests/benchmarks/coordinator.py)
# The most calls a second of one process while the interval is not scaled. An expert reports metrics, and asks whether
# the run ends and for the address of its replay server. The other processes also ask for weights, guidance or jobs
# twice a second. A learner worker asks for the address of every server that it reads from.
EXPERT_CALLS, OTHER_CALLS = 3, 7


def gato_actors(config: RelabelConfig, task: TaskConfig) -> int:
    """Returns how many Gato actors play this task; 0 if nothing could be learned from them."""
    count = config.actors if task.relabel_actors is None else task.relabel_actors
    return count if _expert_labels(task) or config.self_imitation_threshold is not None else 0


def gato_sources(config: RelabelConfig, task: TaskConfig) -> list[Source]:
    """Returns the kinds of sequences that this task's Gato actors write."""
    if not gato_actors(config, task):
        return []
    relabelled = [Source.RELABELLED] if _expert_labels(task) else []
    return relabelled + [Source.SELF] * (config.self_imitation_threshold is not None)


def without_labels(config: RunConfig) -> list[str]:
    """Returns the tasks for which Gato actors are configured, but whose experts cannot label."""
    configured = [task for task in config.tasks if config.relabel.actors or task.relabel_actors]
    return [task.name for task in configured if task.relabel_actors != 0 and not _expert_labels(task)]


def _expert_labels(task: TaskConfig) -> bool:
    return find_kind(task.name, task.expert).labels


def poll_interval_scale(config: RunConfig) -> float:
    """Returns the factor of the interval between two calls of a process to the coordinator; at least 1.

    The coordinator answers one call at a time. With thousands of actors the interval grows, so that the coordinator
    never becomes the bottleneck.
    """
    experts = len(config.tasks) * config.actors.copies
    others = sum(gato_actors(config.relabel, task) for task in config.tasks)
    others += config.evaluation.actors + config.learner.workers
    calls = EXPERT_CALLS * experts + OTHER_CALLS * others + config.learner.workers * config.replay.shards
    return max(1.0, calls / COORDINATOR_CALLS)
