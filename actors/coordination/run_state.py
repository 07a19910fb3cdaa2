"""Small pieces of a run's shared state: how tasks are mixed, where replay servers are, and when to end."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gato_dist.sources import Guidance


@dataclass
class MixtureState:
    """What the driver decides about the learner's mixture of tasks.

    Attributes:
        factors: the factor on each task's weight, in the order of the run's tasks; None if weights are fixed.
        failed_tasks: indices of tasks whose experts failed. Nothing waits for their first sequences.
    """

    factors: tuple[float, ...] | None = None
    failed_tasks: frozenset[int] = frozenset()

    def guidance(self, progress: float, version: int) -> Guidance:
        """Returns what actors and learner workers go by, given the run's progress and newest weights version."""
        return Guidance(progress, version, self.factors, self.failed_tasks)


@dataclass
class ReplayState:
    """Where the replay servers are, and when they should save.

    Attributes:
        addresses: the current address of each server, by shard. Opaque here.
    """

    addresses: Sequence[Any] = ()
    _save_step: int | None = None

    def request_save(self, step: int) -> None:
        """Asks for a checkpoint of the replay servers that belongs to the learner's checkpoint of this step."""
        self._save_step = step

    def take_save_request(self) -> int | None:
        """Returns the newest requested step since the last call; None if there is none."""
        step, self._save_step = self._save_step, None
        return step


@dataclass
class RunPhase:
    """Which parts of the run should end.

    Attributes:
        stopping: every process should end.
        learner_done: the learner's last weights and checkpoint are written.
    """

    stopping: bool = False
    learner_done: bool = False
    _learning: bool = True

    def end_learning(self) -> None:
        """Asks the learner alone to end."""
        self._learning = False

    @property
    def learning_ends(self) -> bool:
        return self.stopping or not self._learning


@dataclass
class SeedBlocks:
    """Hands out seed blocks. No block is handed out twice, not even to a restarted actor.

    Attributes:
        claim: reserves more blocks in the run folder.
    """

    claim: Callable[[], Iterable[int]]
    _free: deque[int] = field(default_factory=deque)

    def next(self) -> int:
        if not self._free:
            self._free.extend(self.claim())
        return self._free.popleft()
