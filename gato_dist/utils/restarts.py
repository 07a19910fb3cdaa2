"""What died and when it worked again: counts that forgive, and times for the log."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gato_dist.telemetry import Report

MAX_DEATHS = 5
WITHIN_SECONDS = 600.0


@dataclass
class Deaths:
    """Of one process, each forgotten after a while: machines fail now and then, what dies at once will again."""

    within: float = WITHIN_SECONDS
    times: list[float] = field(default_factory=list)

    def add(self) -> int:
        """One more; how many that makes."""
        self.times.append(time.monotonic())
        return self.count

    @property
    def count(self) -> int:
        now = time.monotonic()
        self.times = [when for when in self.times if now - when < self.within]
        return len(self.times)


class Recoveries:
    """From a process's death, as it was noticed, to the next figures that it reports."""

    def __init__(self) -> None:
        # By name: under what it reports, when it died, and what it had reported by then.
        self._down: dict[str, tuple[str, float, dict[str, object] | None]] = {}

    def died(self, name: str, source: str) -> None:
        """name: in the log. source: under which it reports, or how that begins."""
        self._down.setdefault(name, (source, time.monotonic(), None))

    def look(self, reports: Mapping[str, Report], note: Callable[[str], None]) -> None:
        """Notes every process that reports again after its death.

        Args:
            reports: the newest report of every process.
            note: takes a line for the log.
        """
        for name, (source, died, before) in list(self._down.items()):
            now = {key: report.evidence_of_start for key, report in reports.items() if key.startswith(source)}
            if before is None:
                # Its last words may have come a moment ago.
                self._down[name] = (source, died, now)
            elif now != before:
                note(f"recovered: {name} after {time.monotonic() - died:.1f} s")
                del self._down[name]
