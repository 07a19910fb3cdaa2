"""Which tasks of a run Gato actors play, and what sequences they have beside demonstrations."""

from actors.experts.registry import find_kind
from gato_dist.config import RunConfig
from gato_dist.config_sections import TaskConfig
from gato_dist.sources import Source


def gato_actors(config: RunConfig, task: TaskConfig) -> int:
    """How many Gato actors roll out this task: none where it would come to nothing."""
    asked = config.relabel.actors if task.relabel_actors is None else task.relabel_actors
    return asked if _labels(task) or config.relabel.self_return is not None else 0


def gato_sources(config: RunConfig, task: TaskConfig) -> list[Source]:
    """What this task's Gato actors write."""
    if not gato_actors(config, task):
        return []
    found = [Source.RELABELLED] if _labels(task) else []
    return found + [Source.SELF] * (config.relabel.self_return is not None)


def without_labels(config: RunConfig) -> list[str]:
    """Tasks that Gato actors were asked for, but whose experts cannot label."""
    asked = [task for task in config.tasks if config.relabel.actors or task.relabel_actors]
    return [task.name for task in asked if task.relabel_actors != 0 and not _labels(task)]


def _labels(task: TaskConfig) -> bool:
    return find_kind(task.name, task.expert).labels
