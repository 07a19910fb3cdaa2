"""What is known about one replay server, over all of its restarts."""

import time
from dataclasses import dataclass, field
from typing import Any

from gato_dist.telemetry import TableReport
from gato_dist.utils.restarts import RecentFailures
from replay.reverb.addresses import ServerAddress

TableMetrics = dict[str, TableReport]  # by table


@dataclass(kw_only=True)
class ReplayServerState:
    """One replay server, over all of its restarts.

    Attributes:
        shard: number of the server.
        actor: the actor of its newest start.
        began: reference to its address and contents; None once they are known.
        asked: reference to metrics that were asked for.
        saving: reference to a checkpoint that is being written; None if there is none.
        address: the newest one that is known.
        starts: how often it was started.
        metrics: the newest ones.
        before: counters of all starts together when the last one died.
        sampled_before: rows sampled in earlier starts, by table.
        answered: when it last answered.
        asked_at: when metrics were last asked for.
        died: when it was last known to be alive; None unless it is being restarted.
        deaths: recent ones.
    """

    shard: int
    actor: Any = None
    began: Any = None
    asked: Any = None
    saving: Any = None
    address: ServerAddress = field(default_factory=lambda: ServerAddress(""))
    starts: int = 0
    metrics: TableMetrics = field(default_factory=dict)
    before: TableMetrics = field(default_factory=dict)
    sampled_before: dict[str, int] = field(default_factory=dict)
    answered: float = 0.0
    asked_at: float = 0.0
    died: float | None = None
    deaths: RecentFailures = field(default_factory=RecentFailures)

    @property
    def counted(self) -> TableMetrics:
        """Metrics of all starts together. Rows that are written again after a death are counted once."""
        return {
            name: TableReport(
                size=table.size,
                inserted=max(table.inserted, self.before.get(name, table).inserted),
                sampled=table.sampled + self.sampled_before.get(name, 0),
            )
            for name, table in self.metrics.items()
        }

    def set_started(self, began: tuple[str, str, dict[str, dict[int, int]]]) -> str:
        """Takes what the actor returns once the server listens; returns what it holds from before, in words."""
        address, contents, covered = began
        self.began, self.answered = None, time.monotonic()
        self.address = ServerAddress(address, self.starts, covered)
        return contents
