"""The processes of a live run under Ray: started, watched, and ended together."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayActorError, RayError, RayTaskError, WorkerCrashedError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.coordination.link import CoordinatorLink, ReplayAddress
from actors.ray_actors import CoordinatorActor, EvaluatorActor, ExpertActor, GatoActor
from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.ports import State
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference
from gato_dist.supervisor.demands import demands, unmet
from gato_dist.supervisor.learner_job import learn, open_writer, tell_death
from gato_dist.supervisor.planning import gato_actors, gato_sources, poll_interval_scale
from gato_dist.supervisor.quarantine import Part, Quarantine
from gato_dist.supervisor.ray_init import STORE_BYTES, RunFailed, connect
from gato_dist.supervisor.replay_servers import ReplayServers
from gato_dist.supervisor.resource_errors import explain, store_news
from gato_dist.supervisor.workers import Worker, mendable
from gato_dist.telemetry import Telemetry
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.restarts import MAX_DEATHS, Deaths, Recoveries
from gato_dist.utils.signals import Interrupt
from learner.ray_train import fit, give_back_places
from replay.disk_sources import disk_shares, open_beside
from replay.reverb.writer import SequenceWriter

COPIES = 4  # of the weights in the object store: sent, kept, the version before while someone reads it, and room
ANSWER_SECONDS = 120.0
PLACE_SECONDS = 1800.0
SAVE_SECONDS = 60.0
Note = Callable[[str], None]


class System:
    """Coordinator, replay, learner, experts, Gato actors and evaluators of one run; `check` surfaces what died."""

    def __init__(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        references: dict[str, Reference],
        folder: RunFolder,
        interrupt: Interrupt,
    ) -> None:
        self.tokenizer, self._references = tokenizer, references
        self._config, self._folder, self._interrupt = config, folder, interrupt
        self._from_disk = disk_shares(config, open_beside(config, tokenizer))
        self._demands = demands(config, live=sum(share < 1 for share in self._from_disk))
        self._workers: list[Worker] = []
        self._learner: Any = None
        self._learner_deaths, self._recoveries = Deaths(), Recoveries()

    def connect(self) -> list[str]:
        """What is worth knowing of the machine, or of the cluster.

        Raises InputError as the function of this name, and if this machine has not what a part reserves.
        """
        store, address = self._store_bytes(), self._config.ray.address
        news = [] if address else store_news(store)
        connect(self._config.ray, self._cpus(), store)
        short = unmet(self._demands, [node["Resources"] for node in ray.nodes() if node["Alive"]])
        if short and not address:
            raise InputError(f"{short[0]}; leave it out, or give ray.address of a cluster that offers it")
        # A cluster may grow.
        news += [f"{line}: waiting for a node that joins" for line in short]
        # Ray sets a handler of its own, which only exits.
        self._interrupt.listen()
        self._interrupt.check()
        return news

    def start(self, min_version: int, step: int | None, note: Note) -> None:
        """Starts every process; returns before the experts have made their environments.

        min_version: the highest weights version that was scored before; the learner publishes later ones only.
        step: of the checkpoint that the learner goes on from, if there is one.
        """
        config, tokenizer = self._config, self.tokenizer
        self.quarantine = Quarantine(self._folder.quarantine, config.actors.tries, config.actors.hang_seconds)
        self._shared_tokenizer = ray.put(tokenizer)
        names = [task.name for task in config.tasks]
        # Beside the run folder, and on the one node that outlives every other.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.coordinator = CoordinatorActor.options(scheduling_strategy=here).remote(
            names, config.evaluation, RunFolder(self._folder.root.absolute()).claim_seed_blocks
        )
        self._link = CoordinatorLink(self.coordinator, poll_interval_scale(config))
        self.replay = ReplayServers(config, tokenizer, self._folder, step)
        # A cluster may have to start a node for them first.
        seconds = PLACE_SECONDS if config.ray.address else ANSWER_SECONDS
        first = self.replay.settle(partial(self._ask, seconds=seconds), note)
        self._ask(self.coordinator.set_replay_addresses.remote(tuple(first)))
        places = [ReplayAddress(self._link, shard) for shard in range(len(first))]
        kept = config.replay.kept_sequences
        for index, (task, from_disk) in enumerate(zip(config.tasks, self._from_disk, strict=True)):
            for copy in range(config.actors.copies if from_disk < 1 else 0):
                place = places[self.replay.shard_of(index, copy)]
                write = partial(SequenceWriter, place, keep=kept)
                work = self._arguments | {"task": task, "copy": copy, "open_writer": write}
                own = {"num_cpus": config.actors.threads, "resources": config.actors.resources}
                name = f"expert {copy + 1} of {task.name}" if config.actors.copies > 1 else f"expert of {task.name}"
                source = f"expert/{task.name}/{copy}"
                self._add(Worker(name, source, Part.EXPERTS, task.name, ExpertActor.options(**own).remote, work))
        self._add_gato_actors(places)
        for _ in range(config.evaluation.actors):
            self.add_evaluator()
        root = self._folder.root.absolute()
        self._job = partial(learn, config, tokenizer, self._references, places, root, self._link, min_version)
        self._start_learner()

    @property
    def _arguments(self) -> dict[str, Any]:
        """Arguments that the `run` method of every actor takes."""
        return {"config": self._config, "tokenizer": self._shared_tokenizer, "link": self._link}

    def _start_learner(self) -> None:
        learner, notes = self._config.learner, self._folder.replay.absolute() / "ray_train"
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        # A task, since a thread of this process that waits for Ray while Ray is shut down would crash it.
        remote_fit = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(fit)
        self._learner = remote_fit.remote(
            self._job, learner.workers, learner.gpu, learner.threads, notes, learner.resources,
            partial(tell_death, self.coordinator),
        )  # fmt: skip

    def _add_gato_actors(self, places: list[ReplayAddress]) -> None:
        config = self._config
        own = {"num_cpus": config.actors.threads, "resources": config.actors.resources}
        for index, task in enumerate(config.tasks):
            write = partial(
                open_writer, places[self.replay.shard_of(index, 0)], config.replay.kept_sequences, task.name
            )
            sources = gato_sources(config, task)
            for copy in range(many := gato_actors(config, task)):
                work = self._arguments | {"task": task, "sources": sources, "open_writer": write}
                name = f"Gato actor {copy + 1} of {task.name}" if many > 1 else f"Gato actor of {task.name}"
                source = f"gato/{task.name}/"
                self._add(Worker(name, source, Part.GATO, task.name, GatoActor.options(**own).remote, work))

    def add_evaluator(self) -> None:
        name = f"evaluator {sum(worker.part is Part.EVALUATION for worker in self._workers)}"
        evaluation = self._config.evaluation
        make = EvaluatorActor.options(num_cpus=evaluation.threads, resources=evaluation.resources).remote
        self._add(Worker(name, name, Part.EVALUATION, None, make, self._arguments))

    def end_writers(self) -> None:
        """Kills experts and Gato actors: nobody trains on what they would still write."""
        self._end(lambda worker: worker.part is not Part.EVALUATION)

    @property
    def learning(self) -> bool:
        """Until the learner's job is done. Taking its worker group down may last longer, and nobody needs to wait."""
        if self._learner is None:
            return False
        if ray.wait([self._learner], timeout=0)[0] and not self._learner_crashed:
            return False
        return not ray.get(self.coordinator.learner_done.remote())

    @property
    def _learner_crashed(self) -> bool:
        """Whether Ray Train's driver died, and with it all its workers: `check` starts it again."""
        if not ray.wait([self._learner], timeout=0)[0]:
            return False
        try:
            ray.get(self._learner)
        except WorkerCrashedError:
            return True
        except RayError:
            return False
        return False

    def check(self, note: Note) -> None:
        """Starts actors that died, failed or hang again, and quarantines their tasks after `actors.tries`.

        And replay servers and the learner. Raises RunFailed, or InputError, for what cannot be mended, and where no
        task is left.
        """
        self._check_learner(note)
        self._check_replay(note)
        silent = self._ask(self.coordinator.seconds_silent.remote())
        # Whoever works may be silent for as long as lies between two reports.
        patience = self._config.actors.hang_seconds + self._link.report_seconds
        for worker in list(self._workers):
            # What was quarantined a moment ago was ended on purpose.
            if worker in self._workers:
                why = worker.trouble(silent.get(worker.name, 0.0), patience)
                if why is not None:
                    self._mend(worker, why, note)

    def _check_learner(self, note: Note) -> None:
        if self._learner_crashed:
            if not self.learning:
                return
            if (deaths := self._learner_deaths.add()) > MAX_DEATHS:
                raise RunFailed(f"the learner's driver died {deaths} times")
            note(f"the learner's driver died; starting it again ({deaths} of {MAX_DEATHS})")
            self._recoveries.died("learner", "learner")
            give_back_places()
            self._start_learner()
        elif ray.wait([self._learner], timeout=0)[0]:
            try:
                ray.get(self._learner)
            except RayError as error:
                raise mendable(error) or RunFailed(f"learner: {explain(error)}") from error

    def _check_replay(self, note: Note) -> None:
        for death in self._ask(self.coordinator.take_deaths.remote()):
            note(death.message)
            self._recoveries.died(death.process, death.process)
        step = self._ask(self.coordinator.take_replay_save_request.remote())
        if step is not None:
            self.replay.save(step)
        if (self.learning or self.replay.saving) and (places := self.replay.check(note)) is not None:
            self.coordinator.set_replay_addresses.remote(tuple(places))

    def look(self, telemetry: Telemetry, note: Note) -> None:
        """Notes every process that works again after its death."""
        self._recoveries.look(telemetry.reports, note)

    def _mend(self, worker: Worker, why: str, note: Note) -> None:
        self.coordinator.forget_heartbeat.remote(worker.name)
        self._recoveries.died(worker.name, worker.source)
        task = worker.task or self._ask(self.coordinator.give_up_job.remote(worker.name))
        if task is None:
            # An evaluator without a job: no task is to blame.
            if (tries := worker.failures.add()) == self._config.actors.tries:
                raise RunFailed(f"{worker.name} {why}, {tries} tries")
            note(f"{worker.name} {why}; starting it again")
            worker.start()
            return
        note(self.quarantine.failed(worker.name, task, worker.part, why))
        self.coordinator.set_failed_tasks.remote(self.quarantine.troubled(list(self._config.weights)))
        if self.quarantine.has(task, Part.EVALUATION):
            self.coordinator.exclude_task.remote(task)
        self._end(lambda each: each.task is not None and self.quarantine.has(each.task, each.part))
        if worker in self._workers:
            worker.start()
        if end := self.quarantine.why_end(self._live, [each.name for each in self._config.tasks]):
            raise RunFailed(end)

    @property
    def _live(self) -> list[str]:
        """Tasks that the learner has from live experts alone; none where it has anything else to learn from."""
        more = any(self._from_disk) or self._config.corpora
        return [] if more else [task.name for task in self._config.tasks]

    def scored_weights(self, version: int) -> State | None:
        """The weights behind results of the last moment; None where there is no such version."""
        weights = self._ask(self.coordinator.scored_weights.remote(version))
        return self._ask(weights.reference) if weights else None

    def end_learning(self) -> None:
        """Asks the learner to write its last weights and checkpoint, and to return; evaluators go on."""
        self.coordinator.end_learning.remote()

    def stop(self, grace_seconds: float, note: Note) -> None:
        """Asks everything to end, gives the learner time for its checkpoint, then ends Ray and all that it started."""
        if ray.is_initialized():
            coordinator = getattr(self, "coordinator", None)
            if coordinator is not None:
                coordinator.stop.remote()
                until = time.monotonic() + grace_seconds
                # A large model's checkpoint takes its time; what was left by another start was removed at this one's.
                partial = self._folder.checkpoints
                while (
                    self.learning
                    and not self._learner_crashed
                    and (time.monotonic() < until or any(partial.glob("step-*.partial")))
                ):
                    time.sleep(0.1)
                if hasattr(self, "replay"):
                    self._save_replay(note)
            ray.shutdown()

    def _save_replay(self, note: Note) -> None:
        """What belongs to the learner's last checkpoint."""
        step = ray.get(self.coordinator.take_replay_save_request.remote())
        if step is not None:
            self.replay.save(step)
        until = time.monotonic() + SAVE_SECONDS
        while self.replay.saving and time.monotonic() < until:
            self.replay.look_at_saving(note)
            time.sleep(0.1)

    def _cpus(self) -> float:
        evaluation = self._config.evaluation
        final = max(evaluation.final_actors - evaluation.actors, 0) * evaluation.threads
        return final + sum(demand.count * demand.each.get("CPU", 0.0) for demand in self._demands)

    def _store_bytes(self) -> int:
        """Room for the weights, so that Ray need not write them to the disk and read them again."""
        import torch

        with torch.device("meta"):
            model = Gato(self._config.model, self.tokenizer.vocabulary.size, self.tokenizer.tensor_size)
        return max(STORE_BYTES, COPIES * 4 * sum(parameter.numel() for parameter in model.parameters()))

    def _add(self, worker: Worker) -> None:
        worker.start()
        self._workers.append(worker)

    def _end(self, which: Callable[[Worker], bool]) -> None:
        for worker in filter(which, self._workers):
            worker.end()
        self._workers = [worker for worker in self._workers if not which(worker)]

    def _ask(self, reference: Any, seconds: float = ANSWER_SECONDS) -> Any:
        until = time.monotonic() + seconds
        while not ray.wait([reference], timeout=0.2)[0] and time.monotonic() < until:
            self._interrupt.check()
        try:
            return ray.get(reference, timeout=0)
        except (RayTaskError, RayActorError) as error:
            raise mendable(error) or RunFailed(explain(error)) from error
        except GetTimeoutError as error:
            raise RunFailed(
                f"no answer from replay in {seconds:.0f} s: is there a node that offers what it reserves?"
            ) from error
