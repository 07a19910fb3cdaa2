"""The processes of a live run under Ray: started, watched, and ended together."""

import logging
import os
import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray._private import ray_constants
from ray.actor import ActorHandle
from ray.exceptions import AuthenticationError, RayActorError, RayError, RayTaskError

from actors.ray_actors import BoardActor, EvaluatorActor, ExpertActor, RayHost, ReplayActor
from gato_dist.config import RunConfig
from gato_dist.config_sections import RayConfig
from gato_dist.disk import disk_shares, disk_sources, open_beside
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.ports import State
from gato_dist.run_folder import RunFolder
from gato_dist.signals import Interrupt
from gato_dist.tokens.packing import row_shape
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint_folder import CheckpointFolder
from learner.parallel import own_device
from learner.ray_train import fit
from learner.train import train
from replay.corpora.chunks import open_corpora
from replay.mixture import MixtureBatches, Stream
from replay.sampler import table_rows
from replay.tables import admit, start_server, table_figures
from replay.writer import RowWriter

LOOPBACK = "127.0.0.1"
TOKENS = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")
MAX_RESTARTS = 5
STORE_BYTES = 512 * 2**20
COPIES = 4  # of the weights in the object store: sent, kept, the version before while someone reads it, and room
ANSWER_SECONDS = 120.0
# One thread for each of the libraries that would otherwise take every core in every process.
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), "1")
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


class RunFailed(RuntimeError):
    """A part of the run died and could not be brought back, or Ray did not start."""


def connect(config: RayConfig, cpus: float, store: int = STORE_BYTES) -> None:
    """Joins the cluster at `config.address`, or starts Ray on this machine, on loopback and behind a token.

    cpus: what the run's parts will ask for; a Ray started here offers at least that much, since experts mostly wait.
    store: bytes of a new Ray's object store.
    Raises RunFailed where no Ray can be started, and InputError where no cluster answers, or `config.cpus` is too few.
    A cluster may still grow: its parts wait.
    """
    if config.cpus is not None and config.cpus < cpus and not config.address:
        raise InputError(f"ray.cpus: {config.cpus} is too few: this run's processes ask for {cpus:g}; leave it out")
    environment: dict[str, Any] = {"env_vars": THREADS | QUIET}
    common: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, "runtime_env": environment}
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # Ray starts workers at niceness 15, from where experts could not give way to the learner.
    os.environ.setdefault("RAY_worker_niceness", "0")
    # Every part starts at once, on few cores too; Ray would warn of it.
    os.environ.setdefault("RAY_worker_maximum_startup_concurrency", str(max(os.cpu_count() or 1, int(cpus + 2))))
    if config.address:
        try:
            _knock(config.address)
            ray.init(address=config.address, **common)
        except AuthenticationError as error:
            raise InputError(
                f"ray.address: {config.address} refuses this machine's token; set RAY_AUTH_TOKEN_PATH to a file with "
                f"the cluster's, or RAY_AUTH_TOKEN"
            ) from error
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(
                f"ray.address: no Ray cluster answers at {config.address} ({str(error).splitlines()[0]})"
            ) from error
        return
    _keep_private()
    environment["env_vars"] |= {"GLOO_SOCKET_IFNAME": "lo", "NCCL_SOCKET_IFNAME": "lo"}
    offered = config.cpus or max(os.cpu_count() or 1, int(cpus + 1))
    try:
        ray.init(
            address="local", num_cpus=offered, include_dashboard=False, _node_ip_address=LOOPBACK,
            object_store_memory=store, **common,
        )  # fmt: skip
    except Exception as error:
        # Ray raises a plain Exception where its own processes did not answer in time.
        raise RunFailed(f"Ray did not start on this machine: {_brief(error)}") from error


def _keep_private() -> None:
    """Has a Ray that is about to start listen on loopback alone, and refuse whoever lacks its token."""
    # Ray takes 127.0.0.1 for a mistake and listens on every interface, unless it believes to be where clusters cannot
    # be. It reads RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER as it is imported, before any address is known.
    ray_constants.ENABLE_RAY_CLUSTER = False
    # Not set, it is Ray itself that turns tokens on for a new cluster.
    os.environ.pop("RAY_AUTH_MODE", None)
    # One of this run's own: Ray would write one that every user may read to ~/.ray/auth_token.
    if not any(os.environ.get(name) for name in TOKENS):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=5).close()


@dataclass
class _Worker:
    """An actor and the arguments of its endless `run`. work: the reference of what that returns."""

    name: str
    actor: ActorHandle
    arguments: tuple
    work: Any = None
    failures: int = 0

    def start(self) -> None:
        self.work = self.actor.run.remote(*self.arguments)


class System:
    """Board, replay, learner, experts and evaluators of one run; `check` surfaces what died."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, folder: RunFolder, interrupt: Interrupt) -> None:
        self._config, self._tokenizer, self._folder, self._interrupt = config, tokenizer, folder, interrupt
        self._from_disk = disk_shares(config, open_beside(config, tokenizer))
        self._workers: list[_Worker] = []
        self._learner: Any = None

    def connect(self) -> None:
        """Raises InputError as the function of this name."""
        connect(self._config.ray, self._cpus(), self._store_bytes())
        # Ray sets a handler of its own, which only exits.
        self._interrupt.listen()
        self._interrupt.check()

    def start(self, min_version: int) -> None:
        """Starts every process; returns before the experts have made their environments.

        min_version: the highest weights version that was scored before; the learner publishes later ones only.
        """
        config, tokenizer = self._config, self._tokenizer
        self._shared_tokenizer = ray.put(tokenizer)
        names = [task.name for task in config.tasks]
        self.board = BoardActor.remote(names, config.evaluation, self._folder.claim_seed_blocks())
        shapes = {name: row_shape(tokenizer.tasks[name], config.tokens.length) for name in names}
        self._admitted = self._networks()
        self.replay = ReplayActor.remote(partial(start_server, shapes, config.replay, self._admitted))
        address = self._ask(self.replay.address.remote())
        for index, (task, from_disk) in enumerate(zip(config.tasks, self._from_disk, strict=True)):
            for copy in range(config.actors.copies if from_disk < 1 else 0):
                work = (config, index, copy, self.board, self._shared_tokenizer, partial(RowWriter, address))
                actor = ExpertActor.options(num_cpus=config.actors.threads).remote()
                self._add(f"expert of {task.name}", actor, work)
        for _ in range(config.evaluation.actors):
            self.add_evaluator()
        job = partial(_learn, config, tokenizer, address, self._folder.root.absolute(), self.board, min_version)
        learner, notes = config.learner, self._folder.replay.absolute() / "ray_train"
        # A task, since a thread of this process that waits for Ray while Ray is shut down would crash it.
        remote_fit = ray.remote(num_cpus=0, max_retries=0)(fit)
        self._learner = remote_fit.remote(job, learner.workers, learner.gpu, learner.threads, notes)

    def add_evaluator(self) -> None:
        name = f"evaluator {sum(worker.name.startswith('evaluator') for worker in self._workers)}"
        actor = EvaluatorActor.options(num_cpus=self._config.evaluation.threads).remote()
        self._add(name, actor, (self._config, name, self.board, self._shared_tokenizer))

    def end_experts(self) -> None:
        """Kills the experts: nobody trains on what they would still write."""
        for worker in self._workers:
            if worker.name.startswith("expert"):
                ray.kill(worker.actor)
        self._workers = [worker for worker in self._workers if not worker.name.startswith("expert")]

    @property
    def learning(self) -> bool:
        """Until the learner's job is done. Taking its worker group down may last longer, and nobody needs to wait."""
        if self._learner is None or ray.wait([self._learner], timeout=0)[0]:
            return False
        return not ray.get(self.board.learner_done.remote())

    def check(self, note: Callable[[str], None]) -> None:
        """Starts dead actors again, up to 5 times each. Raises RunFailed, or InputError, for what cannot be mended."""
        if ray.wait([self._learner], timeout=0)[0]:
            try:
                ray.get(self._learner)
            except RayError as error:
                raise _mendable(error) or RunFailed(f"learner: {_brief(error)}") from error
        for worker in self._workers:
            ready, _ = ray.wait([worker.work], timeout=0)
            if not ready:
                continue
            try:
                ray.get(worker.work)
            except RayActorError as error:
                worker.failures += 1
                if worker.failures > MAX_RESTARTS:
                    raise RunFailed(f"{worker.name} died {worker.failures} times: {_brief(error)}") from error
                note(f"{worker.name} died; starting it again ({worker.failures} of {MAX_RESTARTS})")
            except RayTaskError as error:
                raise _mendable(error) or RunFailed(f"{worker.name}: {_brief(error)}") from error
            worker.start()

    def scored_weights(self, version: int) -> State | None:
        """The weights behind results of the last moment; None where there is no such version."""
        note = self._ask(self.board.scored.remote(version))
        return self._ask(note.reference) if note else None

    def end_learning(self) -> None:
        """Asks the learner to write its last weights and checkpoint, and to return; evaluators go on."""
        self.board.end_learning.remote()

    def replay_figures(self) -> dict[str, dict[str, int]]:
        networks = self._networks()
        if networks != self._admitted:  # the cluster has grown, or shrunk
            self._ask(self.replay.apply.remote(partial(admit, networks=networks)))
            self._admitted = networks
        return self._ask(self.replay.figures.remote(table_figures))

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
        evaluators = max(config.evaluation.actors, config.evaluation.final_actors) * config.evaluation.threads
        return experts + evaluators + config.learner.workers * config.learner.threads

    def _store_bytes(self) -> int:
        """Room for the weights, so that Ray need not write them to the disk and read them again."""
        import torch

        with torch.device("meta"):
            model = Gato(self._config.model, self._tokenizer.vocabulary.size, self._tokenizer.tensor_size)
        return max(STORE_BYTES, COPIES * 4 * sum(parameter.numel() for parameter in model.parameters()))

    def _networks(self) -> list[str]:
        """Who may reach the replay server from other machines."""
        config = self._config
        if config.replay.allow is not None or not config.ray.address:
            return list(config.replay.allow or ())
        return sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])

    def _add(self, name: str, actor: ActorHandle, arguments: tuple) -> None:
        worker = _Worker(name, actor, arguments)
        worker.start()
        self._workers.append(worker)

    def _ask(self, reference: Any) -> Any:
        until = time.monotonic() + ANSWER_SECONDS
        while not ray.wait([reference], timeout=0.2)[0] and time.monotonic() < until:
            self._interrupt.check()
        try:
            return ray.get(reference, timeout=0)
        except RayTaskError as error:
            raise _mendable(error) or RunFailed(_brief(error)) from error


def _learn(
    config: RunConfig, tokenizer: Tokenizer, address: str, root: Path, board: ActorHandle, min_version: int, rank: int
) -> None:
    """One learner worker's job: the circle's last arc, from replay to the board."""
    import torch

    torch.set_num_threads(config.learner.threads)
    folder = RunFolder(root)
    streams = _streams(config, tokenizer, address, seed=config.seed + min_version, rank=rank)
    host, share = RayHost(board), config.learner.batch // config.learner.workers
    batches = MixtureBatches(streams, share, tokenizer.tensor_size, seed=config.seed + 1009 * rank)
    train(
        config,
        tokenizer,
        batches,
        host,
        CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints),
        own_device(config.learner.gpu),
        min_version,
    )
    host.wait()
    if rank == 0:
        ray.get(board.finish_learning.remote())


def _streams(config: RunConfig, tokenizer: Tokenizer, address: str, seed: int, rank: int) -> list[Stream]:
    """Replay tables, what of the tasks comes from disk, and corpora."""
    dataset = open_beside(config, tokenizer)
    shares = disk_shares(config, dataset)
    streams = []
    for i, (task, share) in enumerate(zip(config.tasks, shares, strict=True)):
        if share < 1:
            shape = row_shape(tokenizer.tasks[task.name], config.tokens.length)
            streams.append(Stream(i, task.weight * (1 - share), table_rows(address, task.name, shape)))
    shares += [1.0] * len(config.corpora)
    for source in disk_sources(config, tokenizer, dataset, open_corpora(config), seed):
        chunks = source.open(rank, config.learner.workers)
        streams.append(Stream(source.task, source.weight * shares[source.task], map(chunks, count())))
    return [stream for stream in streams if stream.weight]


def _mendable(error: BaseException) -> InputError | None:
    """The InputError behind an error that crossed processes, if there is one.

    Ray and Ray Train wrap errors differently, but all of them quote the traceback.
    """
    quoted = re.findall(r"^gato_dist\.errors\.InputError: (.+)$", str(error), re.MULTILINE)
    return InputError(quoted[-1]) if quoted else None


def _brief(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1][:300]
