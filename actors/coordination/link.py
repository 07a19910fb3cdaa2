"""How a process talks to the coordinator over Ray: polling in the background, reporting, and publishing weights."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import ray
from ray.actor import ActorHandle

from actors.coordination.publisher import Publisher
from actors.coordination.weights import PublishedWeights
from gato_dist.ports import State
from gato_dist.sources import Guidance
from gato_dist.telemetry import ActorReport, EvaluatorReport, LearnerReport, MixtureReport
from replay.reverb.addresses import ServerAddress

T = TypeVar("T")
P = TypeVar("P", ActorReport, EvaluatorReport, MixtureReport)
REPORT_SECONDS = 1.0
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class CoordinatorLink:
    """The coordinator, and how often a process talks to it.

    Attributes:
        actor: the handle of the `CoordinatorActor`.
        interval_scale: a factor ≥ 1 on all intervals. It grows with the number of processes
            (`gato_dist.supervisor.planning`), so that the coordinator never becomes the bottleneck.
    """

    actor: ActorHandle
    interval_scale: float = 1.0

    @property
    def report_seconds(self) -> float:
        """Seconds between two reports or heartbeats of a process."""
        return REPORT_SECONDS * self.interval_scale

    @property
    def poll_seconds(self) -> float:
        """Seconds between two questions of a process."""
        return POLL_SECONDS * self.interval_scale


class Polled(Generic[T]):
    """The coordinator's latest answer to a question that is asked in the background. Calling it never blocks."""

    def __init__(self, ask: Callable[[], Any], first: T, every: float) -> None:
        """Asks for the first time.

        Args:
            ask: calls a remote method of the coordinator.
            first: returned until the first answer has arrived.
            every: seconds between two questions.
        """
        self._ask, self._latest, self._every = ask, first, every
        self._pending = ask()
        self._asked = time.monotonic()

    def __call__(self) -> T:
        if time.monotonic() - self._asked > self._every:
            ready, _ = ray.wait([self._pending], timeout=0)
            if ready:
                self._latest = ray.get(self._pending)
                self._pending = self._ask()
            self._asked = time.monotonic()
        return self._latest


def polled_guidance(link: CoordinatorLink) -> Polled[Guidance]:
    """Returns a callable that gives the coordinator's latest `Guidance`; its defaults before the first answer."""
    return Polled(link.actor.guidance.remote, Guidance(), link.poll_seconds)


class Reporter(Generic[P]):
    """Sends the reports of a process to the coordinator, at most one per `report_seconds`."""

    def __init__(self, link: CoordinatorLink, worker: str | None = None) -> None:
        """Sends a first heartbeat.

        Args:
            link: to the coordinator.
            worker: the name of the worker that sends heartbeats; None if the process is not watched.
        """
        self._actor, self._every, self._worker = link.actor, link.report_seconds, worker
        self._reported = self._heartbeat = float("-inf")
        self.alive()

    def __call__(self, report: P) -> None:
        """Sends a report if it is time to."""
        if time.monotonic() - self._reported >= self._every:
            self.send(report)

    def send(self, report: P) -> None:
        """Sends a report in any case."""
        self._reported = self._heartbeat = time.monotonic()
        # A copy, since the caller goes on counting.
        self._actor.report.remote(replace(report), self._worker)

    def alive(self) -> None:
        """Sends a heartbeat if it is time to: call it at every step, and while there is a good reason to wait.

        A heartbeat does not delay the next report.
        """
        now = time.monotonic()
        if self._worker is not None and now - self._heartbeat >= self._every:
            self._heartbeat = now
            self._actor.heartbeat.remote(self._worker)


class StopSignal:
    """Whether the run ends. Asking sends heartbeats, so that a writer that waits for room in replay is alive."""

    def __init__(self, link: CoordinatorLink, reporter: Reporter) -> None:
        self._stopping = Polled(link.actor.stopping.remote, False, link.report_seconds)
        self._reporter = reporter

    def __call__(self) -> bool:
        self._reporter.alive()
        return self._stopping()


class ReplayAddress:
    """The current address of a replay server. The first call blocks; later calls return the latest known one.

    It can be sent to another process before the first call.
    """

    def __init__(self, link: CoordinatorLink, shard: int) -> None:
        self._link, self._shard = link, shard
        self._polled: Polled[ServerAddress] | None = None

    def __call__(self) -> ServerAddress:
        if self._polled is None:
            # Waits for the first answer: a restarted actor must not connect to a server that was replaced.
            first: ServerAddress = ray.get(self._ask())
            self._polled = Polled(self._ask, first, self._link.report_seconds)
        return self._polled()

    def _ask(self) -> Any:
        return self._link.actor.replay_address.remote(self._shard)


class RayWeightsFeed:
    """The `WeightsFeed` of a process that can wait for the coordinator's answers."""

    def __init__(self, link: CoordinatorLink) -> None:
        self._link = link
        self._latest: tuple[Guidance, PublishedWeights | None] = (Guidance(), None)
        self._asked = float("-inf")

    def latest(self) -> tuple[Guidance, PublishedWeights | None]:
        if time.monotonic() - self._asked >= self._link.poll_seconds:
            actor = self._link.actor
            answers: Any = ray.get([actor.guidance.remote(), actor.newest_weights.remote()])
            self._latest, self._asked = (answers[0], answers[1]), time.monotonic()
        return self._latest

    def load(self, weights: PublishedWeights, load: Callable[[State], None], /) -> None:
        load(ray.get(weights.reference))
        self._link.actor.record_weights_use.remote(time.time() - weights.published)

    def pause(self) -> None:
        time.sleep(self._link.poll_seconds)


class RayHost:
    """The `LearnerHost` port over the coordinator. Call `wait` before the learner's process ends."""

    def __init__(self, link: CoordinatorLink) -> None:
        self._link, self._began = link, time.time()
        self._publisher = Publisher(self._send)
        self.should_stop: Callable[[], bool] = Polled(link.actor.learning_ends.remote, False, link.poll_seconds)

    def publish(self, version: int, step: int, weights: State) -> None:
        self._publisher.publish(version, step, weights, time.time())

    def wait(self) -> None:
        """Waits until the coordinator has all published weights."""
        self._publisher.wait()

    def _send(self, version: int, step: int, weights: State, published: float) -> None:
        ray.get(self._link.actor.publish.remote(version, step, weights, published))

    def report(self, report: LearnerReport) -> None:
        self._link.actor.report.remote(replace(report, began=self._began))

    def saving(self, step: int) -> None:
        self._link.actor.request_replay_save.remote(step)

    def note(self, message: str) -> None:
        self._link.actor.post_message.remote(message)
