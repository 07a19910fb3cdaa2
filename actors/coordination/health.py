"""The newest report and heartbeat of every process, and which processes died."""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from actors.coordination.mailbox import Mailbox
from gato_dist.telemetry import LearnerReport, Report, Telemetry, UseDelays


@dataclass(frozen=True)
class Death:
    """A process that died and will be restarted.

    Attributes:
        process: as in `Report.process`.
        message: a line for the run's log.
    """

    process: str
    message: str


class ProcessHealth:
    """Collects reports, heartbeats and deaths.

    A worker is an actor that the driver restarts if it is silent for too long. Workers have names of their own, since
    the process name of a report may change with a restart.
    """

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._heartbeats: dict[str, float] = {}
        self._deaths: Mailbox[Death] = Mailbox()

    def report(self, report: Report, worker: str | None = None) -> None:
        """Replaces the newest report of a process.

        Args:
            report: the new report.
            worker: the worker whose heartbeat this is too, if any.
        """
        self._reports[report.process] = report
        if worker is not None:
            self.heartbeat(worker)

    def telemetry(self, use_delays: UseDelays | None) -> Telemetry:
        """Returns the newest report of every process."""
        return Telemetry(reports=dict(self._reports), use_delays=use_delays)

    @property
    def progress(self) -> float:
        """The share of the run that is over, as the learner last reported it."""
        learner = self._reports.get("learner")
        return learner.progress if isinstance(learner, LearnerReport) else 0.0

    def heartbeat(self, worker: str) -> None:
        """Records that a worker has made a step, or waits for a good reason."""
        self._heartbeats[worker] = time.monotonic()

    def forget_heartbeat(self, worker: str) -> None:
        """Forgets a worker that is being restarted: it is not silent before its first new heartbeat."""
        self._heartbeats.pop(worker, None)

    def seconds_silent(self) -> Mapping[str, float]:
        """Returns the seconds since the last heartbeat of every worker that has sent one."""
        now = time.monotonic()
        return {worker: now - heartbeat for worker, heartbeat in self._heartbeats.items()}

    def report_death(self, death: Death) -> None:
        self._deaths.put(death)

    def take_deaths(self) -> list[Death]:
        """Returns the deaths since the last call."""
        return self._deaths.take()
