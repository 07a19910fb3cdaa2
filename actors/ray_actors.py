"""The Ray actors of a run: thin shells over plain functions and classes."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ray

from actors.actor_context import ActorContext
from actors.coordination.coordinator import Coordinator
from actors.coordination.link import CoordinatorLink, RayWeightsFeed, Reporter, StopSignal
from actors.niceness import Niceness
from gato_dist.config.run_config import RunConfig
from gato_dist.config.sections import TaskConfig
from gato_dist.ports import OpenReplayWriter
from gato_dist.sources import Source
from gato_dist.telemetry import TableReport
from gato_dist.tokens.tokenizer import Tokenizer

if TYPE_CHECKING:
    from replay.reverb.server import ReplayServer


# Without `enable_task_events=False`, Ray's server keeps the last hundred thousand calls for its timeline: 400 MiB.
@ray.remote(num_cpus=0, max_concurrency=1, enable_task_events=False)
class CoordinatorActor(Coordinator):
    """The coordinator as an actor. It owns the published weights, so that they outlive the learner's worker."""

    def publish(self, version: int, step: int, reference: Any, published: float) -> None:
        """Stores the arrays in the object store, and keeps a reference to them.

        Args:
            version: the weights version.
            step: the learner's step.
            reference: the arrays by name (`gato_dist.ports.State`).
            published: `time.time()` of the publication.
        """
        super().publish(version, step, ray.put(reference), published)


@ray.remote(num_cpus=0, max_concurrency=2, enable_task_events=False)
class ReplayActor:
    """Holds a replay server of a run. It answers while it writes a checkpoint, on a second thread."""

    def __init__(self, start: "Callable[[], ReplayServer]") -> None:
        """Starts the server in this process, so that no other process has to load Reverb."""
        self._server = start()

    def began(self) -> tuple[str, str, dict[str, dict[int, int]]]:
        """Returns host:port, a description of the restored sequences, and their ids (`ServerAddress.covered`)."""
        address = f"{ray.util.get_node_ip_address()}:{self._server.port}"
        return address, self._server.began, self._server.covered

    def metrics(self) -> dict[str, TableReport]:
        return self._server.metrics()

    def admit(self, networks: list[str]) -> None:
        self._server.admit(networks)

    def save(self, step: int) -> dict[str, dict[int, int]]:
        return self._server.save(step)


def _actor_context(
    worker: str, config: RunConfig, link: CoordinatorLink, open_writer: OpenReplayWriter, niceness: int
) -> ActorContext:
    """Connects an expert or Gato actor to the coordinator; its threads give way once it is ready."""
    lowered = Niceness(niceness)
    report: Reporter = Reporter(link, worker)
    block: Any = ray.get(link.actor.claim_seed_block.remote())
    return ActorContext(
        seed=config.seed,
        seed_block=block,
        open_writer=open_writer,
        ready=lowered.take,
        report=report,
        should_stop=StopSignal(link, report),
    )


@ray.remote(max_restarts=-1, max_task_retries=0)
class ExpertActor:
    """One expert of one task."""

    def run(
        self,
        worker: str,
        *,
        task: TaskConfig,
        copy: int,
        config: RunConfig,
        tokenizer: Tokenizer,
        link: CoordinatorLink,
        open_writer: OpenReplayWriter,
    ) -> None:
        """Works until the coordinator stops the run.

        Args:
            worker: the actor's name for heartbeats.
            task: the task to play.
            copy: the number of this expert among those of the task.
            config: the run's configuration.
            tokenizer: the run's tokenizer.
            link: to the coordinator.
            open_writer: opens the task's replay table.
        """
        from actors.demonstrate import run_expert

        context = _actor_context(worker, config, link, open_writer, config.actors.niceness)
        tasks = tokenizer.tasks
        run_expert(task, tasks[task.name], context, copy=copy, actors=config.actors, tokens=config.tokens)


@ray.remote(max_restarts=-1, max_task_retries=0)
class GatoActor:
    """Rolls out the newest weights in one task, next to the task's expert."""

    def run(
        self,
        worker: str,
        *,
        task: TaskConfig,
        sources: list[Source],
        config: RunConfig,
        tokenizer: Tokenizer,
        link: CoordinatorLink,
        open_writer: OpenReplayWriter,
    ) -> None:
        """Works until the coordinator stops the run.

        Args:
            worker: the actor's name for heartbeats.
            task: the task to play.
            sources: the kinds of sequences to write.
            config: the run's configuration.
            tokenizer: the run's tokenizer.
            link: to the coordinator.
            open_writer: opens the task's replay table for a source.
        """
        import torch

        from actors.gato_actor import run_gato_actor

        torch.set_num_threads(1)
        context = _actor_context(worker, config, link, open_writer, config.relabel.niceness)
        run_gato_actor(task, sources, config, tokenizer, feed=RayWeightsFeed(link), context=context)


@ray.remote(max_restarts=-1, max_task_retries=0)
class EvaluatorActor:
    """Scores the newest weights."""

    def run(self, worker: str, *, config: RunConfig, tokenizer: Tokenizer, link: CoordinatorLink) -> None:
        """Works until the coordinator stops the run.

        Args:
            worker: the evaluator's name. A restarted evaluator has the same name, and gets its job again.
            config: the run's configuration.
            tokenizer: the run's tokenizer.
            link: to the coordinator.
        """
        import torch

        from actors.evaluation_worker import EvaluationWorker

        lowered, coordinator = Niceness(config.evaluation.niceness), link.actor
        torch.set_num_threads(config.evaluation.threads)
        report: Reporter = Reporter(link, worker)
        evaluator = EvaluationWorker(
            worker, config, tokenizer, load_weights=RayWeightsFeed(link).load, report=report, alive=report.alive
        )
        lowered.take()
        report.send(evaluator.report())
        while not ray.get(coordinator.stopping.remote()):
            report.alive()
            job: Any = ray.get(coordinator.next_job.remote(worker))
            if job is None:
                time.sleep(link.poll_seconds)
            else:
                ray.get(coordinator.post_result.remote(worker, evaluator.score(job)))
                report.send(evaluator.report())
