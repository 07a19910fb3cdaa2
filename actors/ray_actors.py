"""Ray's share of the actors: thin shells, transport of weights, and nothing else."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import ray
from ray.actor import ActorHandle

from actors.coordinator import Coordinator, EvaluationJob, EvaluationResult, WeightsNote
from actors.filming import Film
from actors.niceness import Niceness
from actors.publisher import Publisher
from gato_dist.config.process_sections import EvaluationConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.ports import State
from gato_dist.seeds import expert_seeds, first_sequence
from gato_dist.sources import Guidance, Source
from gato_dist.tokens.tokenizer import Tokenizer
from replay.reverb.addresses import ServerAddress

if TYPE_CHECKING:
    from actors.relabel import Rollouts, Round

# Between two times that a process tells the one coordinator something, or asks it. `poll_scale`, at least 1, makes both longer
# where there are many of them (`gato_dist.supervisor.planning`).
REPORT_SECONDS = 1.0
IDLE_SECONDS = 0.5


# Ray keeps the last hundred thousand calls for its timeline: with these that is minutes, and 400 MiB of its server.
@ray.remote(num_cpus=0, max_concurrency=1, enable_task_events=False)
class CoordinatorActor(Coordinator):
    """The coordinator as an actor. It owns the weights that it hands out: they outlive the learner's worker."""

    def publish(self, version: int, step: int, reference: Any, published: float) -> None:
        super().publish(version, step, ray.put(reference), published)


class Polled:
    """The coordinator's last answer to a question, asked in the background: calling it never blocks, and lags by a moment."""

    def __init__(self, ask: Callable[[], Any], first: Any, every: float) -> None:
        """ask: a call of the coordinator's method that tells. first: what holds until an answer has come. every: seconds."""
        self._ask, self._last, self._every = ask, first, every
        self._answer: Any = ask()
        self._asked: float = time.monotonic()

    def __call__(self) -> Any:
        if time.monotonic() - self._asked > self._every:
            ready, _ = ray.wait([self._answer], timeout=0)
            if ready:
                self._last = ray.get(self._answer)
                self._answer = self._ask()
            self._asked = time.monotonic()
        return self._last


def guide(coordinator: ActorHandle, poll_scale: float = 1.0) -> Callable[[], Guidance]:
    """What the coordinator says of the run's progress and mixture."""
    return Polled(coordinator.guidance.remote, Guidance(), IDLE_SECONDS * poll_scale)


class RayHost:
    """The `LearnerHost` port over the coordinator. The learner must not end before `wait` has returned."""

    def __init__(self, coordinator: ActorHandle, poll_scale: float = 1.0) -> None:
        self._coordinator, self._began = coordinator, time.time()
        self._publisher = Publisher(self._send)
        self.should_stop: Callable[[], bool] = Polled(
            coordinator.learning_ends.remote, False, IDLE_SECONDS * poll_scale
        )

    def publish(self, version: int, step: int, weights: State) -> None:
        self._publisher.publish(version, step, weights, time.time())

    def wait(self) -> None:
        """Until the coordinator has all that was published."""
        self._publisher.wait()

    def _send(self, version: int, step: int, weights: State, published: float) -> None:
        ray.get(self._coordinator.publish.remote(version, step, weights, published))

    def report(self, metrics: dict[str, float]) -> None:
        # Workers outlive a driver that was killed by a few steps: `began` tells them from those after them.
        self._coordinator.report.remote("learner", metrics | {"began": self._began})

    def saving(self, step: int) -> None:
        self._coordinator.save_replay.remote(step)

    def note(self, message: str) -> None:
        self._coordinator.tell.remote(message)


class Reporter:
    """Sends a process's figures to the coordinator, at most every `every` seconds: 1, stretched."""

    def __init__(self, coordinator: ActorHandle, source: str, name: str | None = None, poll_scale: float = 1.0) -> None:
        """name: of an actor that counts as hanging where neither figures nor `alive` come from it; from now on."""
        self._coordinator, self._source, self._name = coordinator, source, name
        self.every = REPORT_SECONDS * poll_scale
        self._sent = self._heard = float("-inf")
        self.alive()

    def __call__(self, metrics: dict[str, float]) -> None:
        now = time.monotonic()
        if now - self._sent >= self.every:
            self._sent = self._heard = now
            self._coordinator.report.remote(self._source, dict(metrics), self._name)

    def alive(self) -> None:
        """For steps without figures, and while there is reason to wait. Figures need not wait for it."""
        now = time.monotonic()
        if self._name is not None and now - self._heard >= self.every:
            self._heard = now
            self._coordinator.beat.remote(self._name)


class Stop:
    """Whether the run ends. Who asks, over and over, is alive: a writer that waits for room does."""

    def __init__(self, coordinator: ActorHandle, reporter: Reporter) -> None:
        self._stops, self._reporter = Polled(coordinator.stopping.remote, False, reporter.every), reporter

    def __call__(self) -> bool:
        self._reporter.alive()
        return self._stops()


class ReplayAddress:
    """Where a replay server is now, as the coordinator last said: asking blocks once, at first."""

    def __init__(self, coordinator: ActorHandle, shard: int, poll_scale: float = 1.0) -> None:
        self._coordinator, self._shard, self._every = coordinator, shard, REPORT_SECONDS * poll_scale
        self._place: Polled | None = None

    def __call__(self) -> ServerAddress:
        if self._place is None:
            tells: Any = self._coordinator.replay_place
            ask = partial(tells.remote, self._shard)
            # An actor that is started again must not look for the server of before.
            self._place = Polled(ask, ray.get(ask()), self._every)
        return self._place()


@ray.remote(num_cpus=0, max_concurrency=2, enable_task_events=False)
class ReplayActor:
    """Holds a replay server of a run. One thread answers while another writes a checkpoint."""

    def __init__(self, start: Callable[[], Any]) -> None:
        """Starts the server. Every method raises what that raised: Ray would quote an error of a constructor as text.

        Args:
            start: makes the `ReplayServer`. It is called here, so that Reverb is loaded in this process alone.
        """
        self._server: Future[Any] = Future()
        try:
            self._server.set_result(start())
        except Exception as error:
            self._server.set_exception(error)

    def began(self) -> tuple[str, str, dict[str, dict[int, int]]]:
        """host:port, what it holds from before in words, and which rows those are (`ServerAddress.covered`)."""
        server = self._server.result()
        return f"{ray.util.get_node_ip_address()}:{server.port}", server.began, server.covered

    def metrics(self) -> dict[str, dict[str, int]]:
        return self._server.result().metrics()

    def admit(self, networks: list[str]) -> None:
        self._server.result().admit(networks)

    def save(self, step: int) -> dict[str, dict[int, int]]:
        return self._server.result().save(step)


@ray.remote(max_restarts=-1, max_task_retries=0)
class ExpertActor:
    """One expert of one task; `run` returns when the coordinator says stop."""

    def run(
        self,
        name: str,
        config: RunConfig,
        index: int,
        copy: int,
        coordinator: ActorHandle,
        poll_scale: float,
        tokenizers: Tokenizer,
        make_writer: Callable[[str, Callable[[], bool]], Any],
    ) -> None:
        """name: its own on the coordinator. index: of the task in the config. make_writer: a row writer for (table, stop)."""
        from actors.demonstrate import demonstrate
        from actors.experts.registry import make_demonstrator
        from gato_dist.tokens.packing import Packer, Prompting

        niceness, task = Niceness(config.actors.niceness), config.tasks[index]
        report = Reporter(coordinator, f"expert/{task.name}/{copy}", name, poll_scale)
        block: Any = ray.get(coordinator.claim_block.remote())
        seeds = expert_seeds(config.seed, block, task.num_envs)
        demonstrator = make_demonstrator(task, seeds, config.actors.threads)
        tokenizer = tokenizers.tasks[task.name]
        prompting = Prompting(config.tokens.prompt_share, config.tokens.prompt_tokens)
        packer = Packer(
            tokenizer,
            config.tokens.length,
            task.window_steps,
            block,
            first_sequence(block),
            task.keep_repeats,
            prompting,
        )
        stop = Stop(coordinator, report)
        with closing(demonstrator.env), make_writer(task.name, stop) as writer:
            niceness.take()
            for metrics in demonstrate(demonstrator, tokenizer, packer, writer.write):
                report(metrics)
                if stop():
                    return


@ray.remote(max_restarts=-1, max_task_retries=0)
class GatoActor:
    """Rolls out the newest weights in one task, its expert beside them; `run` returns when the coordinator says stop."""

    def run(
        self,
        name: str,
        config: RunConfig,
        index: int,
        sources: list[Source],
        coordinator: ActorHandle,
        poll_scale: float,
        tokenizers: Tokenizer,
        make_writer: Callable[[str, Callable[[], bool]], Any],
    ) -> None:
        """name: its own on the coordinator. index: of the task in the config. sources: that it writes.

        make_writer: a row writer for (table, stop).
        """
        import torch

        from actors.relabel import Rollouts, open_sinks, relabel

        torch.set_num_threads(1)
        niceness, task = Niceness(config.relabel.niceness), config.tasks[index]
        block: Any = ray.get(coordinator.claim_block.remote())
        # A source of its own for every start: what those before it counted stays.
        report = Reporter(coordinator, f"gato/{task.name}/{block}", name, poll_scale)
        stop = Stop(coordinator, report)
        rollouts = Rollouts(config, index, tokenizers, block, Source.RELABELLED in sources)
        rounds = self._rounds(config, coordinator, poll_scale, stop, rollouts)
        tokenizer = tokenizers.tasks[task.name]
        opened = open_sinks(config, task, tokenizer, sources, block, stop, make_writer)
        with closing(rollouts.env), opened as sinks:
            niceness.take()
            for metrics in relabel(rollouts.env, rollouts.labeller, rounds, tokenizer, sinks, rollouts.random):
                report(metrics)
                if stop():
                    return

    def _rounds(
        self,
        config: RunConfig,
        coordinator: ActorHandle,
        poll_scale: float,
        stop: Callable[[], bool],
        rollouts: "Rollouts",
    ) -> "Iterator[Round]":
        """One after the other, each with the newest weights; none before there are any and the schedule begins."""
        guidance = Guidance()
        newest: WeightsNote | None = None
        every, asked = IDLE_SECONDS * poll_scale, float("-inf")
        while not stop():
            if time.monotonic() - asked >= every:
                answers: Any = ray.get([coordinator.guidance.remote(), coordinator.newest.remote()])
                (guidance, newest), asked = answers, time.monotonic()
            if newest is None or guidance.progress < config.relabel.start:
                time.sleep(every)
                continue
            if newest.version != rollouts.version:
                rollouts.load(newest.version, ray.get(newest.reference))
                coordinator.used.remote(time.time() - newest.published)
            yield rollouts.round(guidance.progress)


@ray.remote(max_restarts=-1, max_task_retries=0)
class EvaluatorActor:
    """Acts with the newest weights and scores them; `run` returns when the coordinator says stop."""

    def run(
        self, name: str, config: RunConfig, coordinator: ActorHandle, poll_scale: float, tokenizer: Tokenizer
    ) -> None:
        """name: its own on the coordinator, also when it is started again."""
        import torch

        from actors.evaluate import Evaluator
        from gato_dist.model.gato import Gato

        niceness = Niceness(config.evaluation.niceness)
        torch.set_num_threads(config.evaluation.threads)
        self._report = Reporter(coordinator, name, name, poll_scale)
        self._evaluator, self._version = Evaluator(config, tokenizer, self._report.alive, self._ended), -1
        self._final_episodes: int | None = None
        self._model = Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)
        niceness.take()
        self._ready = time.time()
        coordinator.report.remote(name, {"ready": self._ready})
        while not ray.get(coordinator.stopping.remote()):
            self._report.alive()
            job = ray.get(coordinator.next_job.remote(name))
            if job is None:
                time.sleep(IDLE_SECONDS * poll_scale)
            else:
                self._final_episodes = 0 if job.final else None
                ray.get(coordinator.post_result.remote(name, self._score(job, config.evaluation, coordinator)))
                coordinator.report.remote(name, {"ready": self._ready})

    def _ended(self) -> None:
        """An episode has ended; of the last weights each is told, since nothing else shows how far they are."""
        if self._final_episodes is not None:
            self._final_episodes += 1
            self._report({"ready": self._ready, "final_episodes": float(self._final_episodes)})

    def _score(self, job: EvaluationJob, settings: EvaluationConfig, coordinator: ActorHandle) -> EvaluationResult:
        if self._load(job):
            coordinator.used.remote(time.time() - job.weights.published)
        count = settings.final_episodes if job.final else settings.episodes
        began = time.monotonic()
        film = Film() if job.film else None
        played = self._evaluator.play(self._model, job.task, count, job.weights.version, film)
        returns = tuple(episode.episode_return for episode in played)
        successes = tuple(episode.success for episode in played)
        seconds = time.monotonic() - began
        return EvaluationResult(
            job.task, job.weights.version, job.weights.step, returns, successes, seconds, job.final,
            film.gif() if film else None,
        )  # fmt: skip

    def _load(self, job: EvaluationJob) -> bool:
        """Changes the weights only between jobs: an episode is played by one version. Whether it did."""
        if job.weights.version == self._version:
            return False
        from actors.evaluate import load_state

        load_state(self._model, ray.get(job.weights.reference))
        self._version = job.weights.version
        return True
