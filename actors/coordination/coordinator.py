"""The coordinator: the one object that all processes of a run talk to."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from actors.coordination.evaluation import EvaluationJob, EvaluationQueue, EvaluationResult
from actors.coordination.health import Death, ProcessHealth
from actors.coordination.mailbox import Mailbox
from actors.coordination.run_state import MixtureState, ReplayState, RunPhase, SeedBlocks
from actors.coordination.weights import NewestWeights, PublishedWeights
from gato_dist.config.sections import EvaluationConfig
from gato_dist.sources import Guidance
from gato_dist.telemetry import Report, Telemetry


def _no_seed_blocks() -> Iterable[int]:
    raise RuntimeError("this coordinator was made without seed blocks")


class Coordinator:
    """Passes messages between the driver, the learner, actors and evaluators.

    Every method is short and forwards to one part. `ray_actors.CoordinatorActor` is this class as a Ray actor.
    """

    def __init__(
        self,
        tasks: list[str],
        evaluation: EvaluationConfig,
        claim_seed_blocks: Callable[[], Iterable[int]] = _no_seed_blocks,
    ) -> None:
        """Makes the coordinator of one start of a run.

        Args:
            tasks: names of the tasks that evaluators score.
            evaluation: how often they score which of them.
            claim_seed_blocks: reserves seed blocks that no actor of the run has used.
        """
        self._weights = NewestWeights()
        self._evaluation = EvaluationQueue(tasks, evaluation)
        self._health = ProcessHealth()
        self._mixture = MixtureState()
        self._replay = ReplayState()
        self._phase = RunPhase()
        self._seed_blocks = SeedBlocks(claim_seed_blocks)
        self._messages: Mailbox[str] = Mailbox()

    # Weights

    def publish(self, version: int, step: int, reference: Any, published: float) -> None:
        """Replaces the newest weights (arguments: `PublishedWeights`)."""
        self._weights.publish(PublishedWeights(version=version, step=step, reference=reference, published=published))

    def newest_weights(self) -> PublishedWeights | None:
        return self._weights.current

    def record_weights_use(self, delay: float) -> None:
        self._weights.record_use(delay)

    # Evaluation

    def start_final_evaluation(self) -> int:
        """Queues every task for the newest weights; returns their version, or −1 (`start_final_round`)."""
        return self._evaluation.start_final_round(self._weights.current)

    def next_job(self, evaluator: str) -> EvaluationJob | None:
        return self._evaluation.next_job(evaluator, self._weights.current)

    def give_up_job(self, evaluator: str) -> str | None:
        return self._evaluation.give_up_job(evaluator)

    def exclude_task(self, task: str) -> None:
        self._evaluation.exclude_task(task)

    def post_result(self, evaluator: str, result: EvaluationResult) -> None:
        self._evaluation.post_result(evaluator, result)

    def take_results(self) -> list[EvaluationResult]:
        return self._evaluation.take_results()

    def scored_weights(self, version: int) -> PublishedWeights | None:
        return self._evaluation.scored_weights(version)

    # Health of processes

    def report(self, report: Report, worker: str | None = None) -> None:
        self._health.report(report, worker)

    def telemetry(self) -> Telemetry:
        return self._health.telemetry(self._weights.use_delays())

    def heartbeat(self, worker: str) -> None:
        self._health.heartbeat(worker)

    def forget_heartbeat(self, worker: str) -> None:
        self._health.forget_heartbeat(worker)

    def seconds_silent(self) -> Mapping[str, float]:
        return self._health.seconds_silent()

    def report_death(self, process: str, message: str) -> None:
        self._health.report_death(Death(process, message))

    def take_deaths(self) -> list[Death]:
        return self._health.take_deaths()

    def post_message(self, message: str) -> None:
        """Keeps a line for the run's log."""
        self._messages.put(message)

    def take_messages(self) -> list[str]:
        return self._messages.take()

    # How to act and mix

    def claim_seed_block(self) -> int:
        return self._seed_blocks.next()

    def guidance(self) -> Guidance:
        return self._mixture.guidance(self._health.progress, self._weights.version)

    def set_mixture_factors(self, factors: tuple[float, ...]) -> None:
        self._mixture.factors = factors

    def set_failed_tasks(self, tasks: frozenset[int]) -> None:
        self._mixture.failed_tasks = tasks

    # Replay servers

    def set_replay_addresses(self, addresses: tuple[Any, ...]) -> None:
        self._replay.addresses = addresses

    def replay_address(self, shard: int) -> Any:
        return self._replay.addresses[shard]

    def request_replay_save(self, step: int) -> None:
        self._replay.request_save(step)

    def take_replay_save_request(self) -> int | None:
        return self._replay.take_save_request()

    # When to end

    def end_learning(self) -> None:
        self._phase.end_learning()

    def learning_ends(self) -> bool:
        return self._phase.learning_ends

    def stop(self) -> None:
        """Asks every process to end."""
        self._phase.stopping = True

    def stopping(self) -> bool:
        return self._phase.stopping

    def finish_learning(self) -> None:
        """Records that the learner's last weights and checkpoint are written."""
        self._phase.learner_done = True

    def learner_done(self) -> bool:
        return self._phase.learner_done
