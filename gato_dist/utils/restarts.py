"""Failures of processes: how many were recent, and how long each recovery took."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gato_dist.telemetry import Report

MAX_FAILURES = 5
WINDOW_SECONDS = 600.0


@dataclass
class RecentFailures:
    """Counts the failures of one process in a time window.

    Old failures do not count: every machine fails now and then, but a process that is broken fails again at once.

    Attributes:
        window: length of the window, in seconds.
        times: times of the failures in the window, by `time.monotonic`.
    """

    window: float = WINDOW_SECONDS
    times: list[float] = field(default_factory=list)

    def add(self) -> int:
        """Adds a failure at this moment, and returns the number of recent ones."""
        self.times.append(time.monotonic())
        return self.count

    @property
    def count(self) -> int:
        """Returns the number of failures in the window that ends now."""
        now = time.monotonic()
        self.times = [failed for failed in self.times if now - failed < self.window]
        return len(self.times)


@dataclass
class _Failure:
    """A failed process that has not recovered.

    Attributes:
        source: prefix of the names under which the process reports.
        time: when its failure was noticed, by `time.monotonic`.
        before: evidence of its start at the first look after the failure; None before that look.
    """

    source: str
    time: float
    before: dict[str, object] | None = None


class RecoveryTimer:
    """Measures the time from a process's failure, as noticed, to the first report afterwards."""

    def __init__(self) -> None:
        self._failures: dict[str, _Failure] = {}

    def died(self, name: str, source: str) -> None:
        """Starts the clock of a process.

        Args:
            name: name of the process in the log.
            source: name under which it reports, or a prefix of that name.
        """
        self._failures.setdefault(name, _Failure(source, time.monotonic()))

    def update(self, reports: Mapping[str, Report], note: Callable[[str], None]) -> None:
        """Notes every process that reports again.

        Args:
            reports: the newest report of every process.
            note: is called with a line for each recovered process.
        """
        for name, failure in list(self._failures.items()):
            now = {key: each.evidence_of_start for key, each in reports.items() if key.startswith(failure.source)}
            if failure.before is None:
                # The failed process may have reported a moment before it died.
                failure.before = now
            elif now != failure.before:
                note(f"recovered: {name} after {time.monotonic() - failure.time:.1f} s")
                del self._failures[name]
