"""The newest weights of a run, and how soon actors use them."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from gato_dist.ports import State
from gato_dist.sources import Guidance
from gato_dist.telemetry import UseDelays

KEPT_DELAYS = 1000


@dataclass(frozen=True, kw_only=True)
class PublishedWeights:
    """One version of the weights.

    Attributes:
        version: the weights version. Versions only grow.
        step: the learner step that the weights are from.
        reference: where the arrays are stored. Only the transport can read it.
        published: the learner's `time.time()` when it published them.
    """

    version: int
    step: int
    reference: Any
    published: float


class NewestWeights:
    """Holds the newest weights, and measures the delay until actors use them."""

    def __init__(self) -> None:
        self.current: PublishedWeights | None = None
        self._delays: deque[float] = deque(maxlen=KEPT_DELAYS)

    @property
    def version(self) -> int:
        """The newest version; 0 before the first."""
        return self.current.version if self.current else 0

    def publish(self, weights: PublishedWeights) -> None:
        """Replaces the newest weights, and drops the reference to the previous ones.

        Raises:
            ValueError: if the version is not newer than the current one.
        """
        if self.current is not None and weights.version <= self.current.version:
            raise ValueError(f"weights version {weights.version} does not follow {self.current.version}")
        self.current = weights

    def record_use(self, delay: float) -> None:
        """Records that an actor began to use a version, `delay` seconds (wall clock) after its publication."""
        self._delays.append(delay)

    def use_delays(self) -> UseDelays | None:
        """Returns percentiles over the newest uses; None before the first."""
        if not self._delays:
            return None
        p50, p99 = np.percentile(self._delays, (50, 99))
        return UseDelays(p50=float(p50), p99=float(p99))


class LoadWeights(Protocol):
    """Fetches published weights and hands them to `load`. Records that they are in use from then on."""

    def __call__(self, weights: PublishedWeights, load: Callable[[State], None], /) -> None: ...


class WeightsFeed(Protocol):
    """Where an actor gets the newest weights from."""

    def latest(self) -> tuple[Guidance, PublishedWeights | None]:
        """Returns the run's progress and the newest weights, at most one poll interval old."""
        ...

    def load(self, weights: PublishedWeights, load: Callable[[State], None], /) -> None:
        """As `LoadWeights`."""
        ...

    def pause(self) -> None:
        """Waits for one poll interval."""
        ...
