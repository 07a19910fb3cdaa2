"""The processes of a live run under Ray: started, watched, and ended together."""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import GetTimeoutError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.ray_actors import BoardActor, EvaluatorActor, ExpertActor, GatoActor, RayHost, Reporter, guide
from gato_dist.config import RunConfig
from gato_dist.connect import STORE_BYTES, RunFailed, connect
from gato_dist.disk import disk_shares, disk_sources, open_beside
from gato_dist.model.gato import Gato
from gato_dist.ports import State
from gato_dist.quarantine import Part, Quarantine
from gato_dist.relabelling import gato_actors, gato_sources
from gato_dist.replay_servers import ReplayServers
from gato_dist.run_folder import RunFolder
from gato_dist.sequence import Batch
from gato_dist.shortage import explain, store_news
from gato_dist.signals import Interrupt
from gato_dist.sources import Source, source_shares
from gato_dist.tokens.packing import row_shape
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.workers import Worker, mendable
from learner.checkpoint_folder import CheckpointFolder
from learner.parallel import own_device
from learner.ray_train import fit, leaves
from learner.train import train
from replay.corpora.chunks import open_corpora
from replay.mixture import MixtureBatches, Stream
from replay.sampler import table_rows
from replay.shards import shard_of, shard_rows, sum_figures
from replay.tables import table_name
from replay.usage import Usage
from replay.writer import RowWriter

COPIES = 4  # of the weights in the object store: sent, kept, the version before while someone reads it, and room
ANSWER_SECONDS = 120.0
PLACE_SECONDS = 1800.0


class System:
    """Board, replay, learner, experts, Gato actors and evaluators of one run; `check` surfaces what died."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, folder: RunFolder, interrupt: Interrupt) -> None:
        self._config, self._tokenizer, self._folder, self._interrupt = config, tokenizer, folder, interrupt
        self._from_disk = disk_shares(config, open_beside(config, tokenizer))
        self._workers: list[Worker] = []
        self._learner: Any = None

    def connect(self) -> list[str]:
        """What is worth knowing of the machine. Raises InputError as the function of this name."""
        store = self._store_bytes()
        news = [] if self._config.ray.address else store_news(store)
        connect(self._config.ray, self._cpus(), store)
        # Ray sets a handler of its own, which only exits.
        self._interrupt.listen()
        self._interrupt.check()
        return news

    def start(self, min_version: int) -> None:
        """Starts every process; returns before the experts have made their environments.

        min_version: the highest weights version that was scored before; the learner publishes later ones only.
        """
        config, tokenizer = self._config, self._tokenizer
        self.quarantine = Quarantine(self._folder.quarantine, config.actors.tries)
        self._shared_tokenizer = ray.put(tokenizer)
        names = [task.name for task in config.tasks]
        # Beside the run folder, and on the one node that outlives every other.
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self.board = BoardActor.options(scheduling_strategy=here).remote(
            names, config.evaluation, self._folder.claim_seed_blocks()
        )
        self.replay = ReplayServers(config, tokenizer)
        # A cluster may have to start a node for them first.
        seconds = PLACE_SECONDS if config.ray.address else ANSWER_SECONDS
        addresses = [self._ask(address, seconds) for address in self.replay.addresses()]
        for index, (task, from_disk) in enumerate(zip(config.tasks, self._from_disk, strict=True)):
            for copy in range(config.actors.copies if from_disk < 1 else 0):
                address = addresses[self.replay.shard_of(index, copy)]
                work = (config, index, copy, self.board, self._shared_tokenizer, partial(RowWriter, address))
                own = {"num_cpus": config.actors.threads, "resources": config.actors.resources}
                name = f"expert {copy + 1} of {task.name}" if config.actors.copies > 1 else f"expert of {task.name}"
                self._add(Worker(name, Part.EXPERTS, task.name, ExpertActor.options(**own).remote, work))
        self._add_gato_actors(addresses)
        for _ in range(config.evaluation.actors):
            self.add_evaluator()
        job = partial(_learn, config, tokenizer, addresses, self._folder.root.absolute(), self.board, min_version)
        learner, notes = config.learner, self._folder.replay.absolute() / "ray_train"
        # A task, since a thread of this process that waits for Ray while Ray is shut down would crash it.
        remote_fit = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(fit)
        self._learner = remote_fit.remote(job, learner.workers, learner.gpu, learner.threads, notes, learner.resources)

    def _add_gato_actors(self, addresses: list[str]) -> None:
        config = self._config
        own = {"num_cpus": config.actors.threads, "resources": config.actors.resources}
        for index, task in enumerate(config.tasks):
            write = partial(_open_writer, addresses[self.replay.shard_of(index, 0)], task.name)
            sources = gato_sources(config, task)
            for copy in range(many := gato_actors(config, task)):
                work = (config, index, sources, self.board, self._shared_tokenizer, write)
                name = f"Gato actor {copy + 1} of {task.name}" if many > 1 else f"Gato actor of {task.name}"
                self._add(Worker(name, Part.GATO, task.name, GatoActor.options(**own).remote, work))

    def add_evaluator(self) -> None:
        name = f"evaluator {sum(worker.part is Part.EVALUATION for worker in self._workers)}"
        evaluation = self._config.evaluation
        make = EvaluatorActor.options(num_cpus=evaluation.threads, resources=evaluation.resources).remote
        work = (self._config, self.board, self._shared_tokenizer)
        self._add(Worker(name, Part.EVALUATION, None, make, work))

    def end_writers(self) -> None:
        """Kills experts and Gato actors: nobody trains on what they would still write."""
        self._end(lambda worker: worker.part is not Part.EVALUATION)

    @property
    def learning(self) -> bool:
        """Until the learner's job is done. Taking its worker group down may last longer, and nobody needs to wait."""
        if self._learner is None or ray.wait([self._learner], timeout=0)[0]:
            return False
        return not ray.get(self.board.learner_done.remote())

    def check(self, note: Callable[[str], None]) -> None:
        """Starts actors that died, failed or hang again, and quarantines their tasks after `actors.tries`.

        Raises RunFailed, or InputError, for what cannot be mended, and where no task is left.
        """
        if ray.wait([self._learner], timeout=0)[0]:
            try:
                ray.get(self._learner)
            except RayError as error:
                raise mendable(error) or RunFailed(f"learner: {explain(error)}") from error
        silent = self._ask(self.board.silent.remote())
        for worker in list(self._workers):
            # What was quarantined a moment ago was ended on purpose.
            if worker in self._workers:
                why = worker.trouble(silent.get(worker.name, 0.0), self._config.actors.hang_seconds)
                if why is not None:
                    self._mend(worker, why, note)

    def _mend(self, worker: Worker, why: str, note: Callable[[str], None]) -> None:
        self.board.forget.remote(worker.name)
        task = worker.task or self._ask(self.board.give_up_job.remote(worker.name))
        if task is None:
            # An evaluator without a job: no task is to blame.
            worker.failures += 1
            if worker.failures == self._config.actors.tries:
                raise RunFailed(f"{worker.name} {why}, {worker.failures} tries")
            note(f"{worker.name} {why}; starting it again")
            worker.start()
            return
        note(self.quarantine.failed(worker.name, task, worker.part, why))
        self.board.trouble.remote(self.quarantine.troubled(list(self._config.weights)))
        if self.quarantine.has(task, Part.EVALUATION):
            self.board.leave_out.remote(task)
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
        note = self._ask(self.board.scored.remote(version))
        return self._ask(note.reference) if note else None

    def end_learning(self) -> None:
        """Asks the learner to write its last weights and checkpoint, and to return; evaluators go on."""
        self.board.end_learning.remote()

    def replay_figures(self) -> dict[str, dict[str, int]]:
        """Of every table, added up over servers."""
        for done in self.replay.admit_nodes():
            self._ask(done)
        return sum_figures(map(self._ask, self.replay.figures()))

    def stop(self, grace_seconds: float) -> None:
        """Asks everything to end, gives the learner time for its checkpoint, then ends Ray and all that it started."""
        if ray.is_initialized():
            board = getattr(self, "board", None)
            if board is not None:
                board.stop.remote()
                until = time.monotonic() + grace_seconds
                # A large model's checkpoint takes its time; what was left by another start was removed at this one's.
                partial = self._folder.checkpoints
                while self.learning and (time.monotonic() < until or any(partial.glob("step-*.partial"))):
                    time.sleep(0.1)
            ray.shutdown()

    def _cpus(self) -> float:
        config = self._config
        experts = len(config.tasks) * config.actors.copies * config.actors.threads
        experts += sum(gato_actors(config, task) for task in config.tasks) * config.actors.threads
        evaluators = max(config.evaluation.actors, config.evaluation.final_actors) * config.evaluation.threads
        servers = config.replay.shards * config.replay.cpus
        return experts + evaluators + servers + config.learner.workers * config.learner.threads

    def _store_bytes(self) -> int:
        """Room for the weights, so that Ray need not write them to the disk and read them again."""
        import torch

        with torch.device("meta"):
            model = Gato(self._config.model, self._tokenizer.vocabulary.size, self._tokenizer.tensor_size)
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
        except RayTaskError as error:
            raise mendable(error) or RunFailed(explain(error)) from error
        except GetTimeoutError as error:
            raise RunFailed(
                f"no answer from replay in {seconds:.0f} s: is there a node that offers what it reserves?"
            ) from error


def _learn(
    config: RunConfig,
    tokenizer: Tokenizer,
    addresses: list[str],
    root: Path,
    board: ActorHandle,
    min_version: int,
    rank: int,
) -> None:
    """One learner worker's job: the circle's last arc, from replay to the board."""
    import torch

    torch.set_num_threads(config.learner.threads)
    folder = RunFolder(root)
    usage = Usage(list(config.weights))
    streams = _streams(config, tokenizer, addresses, config.seed + min_version, rank, usage)
    host, share = RayHost(board), config.learner.batch // config.learner.workers
    mixture = MixtureBatches(
        streams, share, tokenizer.tensor_size, config.seed + 1009 * rank,
        partial(source_shares, config.relabel), guide(board), usage, config.actors.hang_seconds,
    )  # fmt: skip
    batches = _counted(mixture, usage, Reporter(board, f"mixture/{rank}"))
    train(
        config,
        tokenizer,
        batches,
        host,
        CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints),
        own_device(config.learner.gpu),
        min_version,
        leaves=leaves,
    )
    host.wait()
    if rank == 0:
        ray.get(board.finish_learning.remote())


def _counted(batches: Iterable[Batch], usage: Usage, report: Reporter) -> Iterator[Batch]:
    """The same batches; what they were made of is told now and then."""
    for batch in batches:
        report(usage.figures())
        yield batch


def _open_writer(address: str, task: str, source: Source, should_stop: Callable[[], bool]) -> RowWriter:
    return RowWriter(address, table_name(task, source), should_stop)


def _streams(
    config: RunConfig, tokenizer: Tokenizer, addresses: list[str], seed: int, rank: int, usage: Usage
) -> list[Stream]:
    """Replay tables, what of the tasks comes from disk, and corpora."""
    dataset = open_beside(config, tokenizer)
    shares = disk_shares(config, dataset)
    streams = []
    for i, (task, share) in enumerate(zip(config.tasks, shares, strict=True)):
        shape = row_shape(tokenizer.tasks[task.name], config.tokens.length)
        if share < 1:
            rows = shard_rows(addresses, i, task.name, shape, config.actors.copies, rank, usage.reader)
            streams.append(Stream(i, task.weight * (1 - share), rows))
        for source in gato_sources(config, task):
            # Where the first of the task's experts writes.
            address = addresses[shard_of(i, 0, config.actors.copies, len(addresses))]
            rows = table_rows(address, table_name(task.name, source), shape, drawn=usage.reader())
            streams.append(Stream(i, task.weight, rows, source))
    shares += [1.0] * len(config.corpora)
    for each in disk_sources(config, tokenizer, dataset, open_corpora(config), seed):
        chunks = each.open(rank, config.learner.workers)
        streams.append(Stream(each.task, each.weight * shares[each.task], map(chunks, count())))
    return [stream for stream in streams if stream.weight]
