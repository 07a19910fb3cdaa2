"""What died and when it worked again: counts that forgive, and times for the log."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
        self._down: dict[str, tuple[str, float, dict[str, dict[str, float]] | None]] = {}

    def died(self, name: str, source: str) -> None:
        """name: in the log. source: under which it reports, or how that begins."""
        self._down.setdefault(name, (source, time.monotonic(), None))

    def look(self, figures: dict[str, dict[str, float]], note: Callable[[str], None]) -> None:
        """Tells of what reports anew. figures: the newest of every process."""
        for name, (source, died, before) in list(self._down.items()):
            now = {key: value for key, value in figures.items() if key.startswith(source)}
            if before is None:
                # Its last words may have come a moment ago.
                self._down[name] = (source, died, now)
            elif _others(now) != _others(before):
                note(f"recovered: {name} after {time.monotonic() - died:.1f} s")
                del self._down[name]


def _others(figures: dict[str, dict[str, float]]) -> dict[str, Any]:
    """What tells figures of one process from those of the next: when it began, where it says that, or all of them."""
    return {source: values.get("began", values) for source, values in figures.items()}
