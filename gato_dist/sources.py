"""Where a learner's sequences come from, and how much of each the run's progress calls for."""

from dataclasses import dataclass
from enum import StrEnum

from gato_dist.config.training_sections import RelabelConfig


class Source(StrEnum):
    """expert: demonstrations, live or from disk, and corpora. relabelled: what Gato actors did, with what the expert
    would have done as targets. self: episodes of Gato's own that scored well enough to be imitated."""

    EXPERT = "expert"
    RELABELLED = "relabelled"
    SELF = "self"


@dataclass(frozen=True)
class Guidance:
    """What acting and mixing go by. progress: share of the run that is over. version: of the newest weights, 0 before
    the first. factors: by which each task's weight is multiplied, [tasks] in the order of a batch's task indices.
    troubled: indices of tasks whose experts failed: nobody waits for their first rows."""

    progress: float = 0.0
    version: int = 0
    factors: tuple[float, ...] | None = None
    troubled: frozenset[int] = frozenset()


def falling(progress: float, start: float, until: float, floor: float) -> float:
    """1 up to `start`, then linear to `floor` at `until`, where it stays."""
    if progress <= start:
        return 1.0
    over = min((progress - start) / (until - start), 1.0) if until > start else 1.0
    return 1.0 + (floor - 1.0) * over


def expert_episodes(config: RelabelConfig, progress: float) -> float:
    """β (Ross et al. 2011, DAgger, algorithm 3.1): the chance that the expert acts in an episode of a Gato actor."""
    return falling(progress, config.start, config.until, config.min_beta)


def source_shares(config: RelabelConfig, progress: float) -> dict[Source, float]:
    """Of a task's sequences, which add up to 1. A task that lacks a source divides its share among the others."""
    demonstrations = falling(progress, config.start, config.until, config.min_demonstration_share)
    own = config.self_imitation_share if config.self_imitation_threshold is not None else 0.0
    rest = 1.0 - demonstrations
    return {Source.EXPERT: demonstrations, Source.RELABELLED: (1.0 - own) * rest, Source.SELF: own * rest}
