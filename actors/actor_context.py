"""What an expert or Gato actor needs from the run around it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gato_dist.ports import OpenReplayWriter


@dataclass(frozen=True, kw_only=True)
class ActorContext:
    """An actor's place in a run, without Ray.

    Attributes:
        seed: the run's seed.
        seed_block: decides the seeds of the environments and the ids of the sequences; no other actor has it.
        open_writer: opens a replay table for writing, given what to write and whether to stop.
        ready: called once, when the environments exist and replay can be reached.
        report: called with the actor's running counters after every step of its environments.
        should_stop: whether the run ends.
    """

    seed: int
    seed_block: int
    open_writer: OpenReplayWriter
    ready: Callable[[], None]
    report: Callable[[Any], None]
    should_stop: Callable[[], bool]
