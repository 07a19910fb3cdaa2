"""Where the learner's sequences come from, and how the share of each source changes with the run's progress."""

from dataclasses import dataclass
from enum import StrEnum

from gato_dist.config.sections import RelabelConfig


class Source(StrEnum):
    """Where a sequence comes from.

    Attributes:
        EXPERT: demonstrations, live or from disk, and corpora.
        RELABELLED: episodes of Gato actors, with the expert's actions as targets.
        SELF: episodes of Gato that scored well enough to be learned from as they are.
    """

    EXPERT = "expert"
    RELABELLED = "relabelled"
    SELF = "self"


@dataclass(frozen=True)
class Guidance:
    """What actors and learner workers need to know about the run.

    Attributes:
        progress: the share of the run that is over, 0 … 1.
        version: the newest weights version; 0 before the first.
        factors: the factor on each task's weight in the mixture, in the order of task indices; None: all are 1.
        failed_tasks: indices of tasks whose experts failed. Nothing waits for their first sequences.
    """

    progress: float = 0.0
    version: int = 0
    factors: tuple[float, ...] | None = None
    failed_tasks: frozenset[int] = frozenset()


def falling(progress: float, start: float, until: float, floor: float) -> float:
    """Returns 1 up to `start`, then a linear descent to `floor` at `until`, and `floor` from there on."""
    if progress <= start:
        return 1.0
    over = min((progress - start) / (until - start), 1.0) if until > start else 1.0
    return 1.0 + (floor - 1.0) * over


def expert_episodes(config: RelabelConfig, progress: float) -> float:
    """Returns β: the probability that the expert acts in an episode of a Gato actor.

    See DAgger (Ross et al. 2011), algorithm 3.1.
    """
    return falling(progress, config.start, config.until, config.expert_episodes)


def source_shares(config: RelabelConfig, progress: float) -> dict[Source, float]:
    """Returns the share of each source in a task's sequences; the shares add up to 1.

    If a task lacks a source, its other sources share what is left.
    """
    demonstrations = falling(progress, config.start, config.until, config.demonstrations)
    own = config.self_share if config.self_return is not None else 0.0
    rest = 1.0 - demonstrations
    return {Source.EXPERT: demonstrations, Source.RELABELLED: (1.0 - own) * rest, Source.SELF: own * rest}
