"""The replay servers of a live run: one actor each, restarted if it dies or no longer answers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from actors.ray_actors import ReplayActor
from gato_dist.config.run_config import RunConfig
from gato_dist.records.run_folder import RunFolder
from gato_dist.sequence import SequenceShape
from gato_dist.supervisor.errors import RunFailed, last_line
from gato_dist.supervisor.plan import Note
from gato_dist.supervisor.planning import gato_sources
from gato_dist.supervisor.replay_server_state import ReplayServerState, TableMetrics
from gato_dist.supervisor.waiting import start_actor
from gato_dist.tokens.packing import sequence_shape
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.restarts import MAX_FAILURES
from replay.reverb.addresses import ServerAddress
from replay.reverb.server import NEWEST, CheckpointSettings
from replay.reverb.sharding import shard_of, start_shard, sum_metrics
from replay.reverb.tables import table_name

ASK_SECONDS = 0.9
HANG_SECONDS = 60.0  # without an answer
BUSY_SECONDS = 1800.0  # without an answer while it starts, for which a cluster may need a node, or writes a checkpoint
LOOPBACK_NETWORK = "127.0.0.0/8"


class ReplayServers:
    """Starts and watches `replay.shards` servers. No method waits for them, except `wait_until_started`."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, folder: RunFolder, step: int | None = None) -> None:
        """Starts all servers.

        Args:
            config: of the run.
            tokenizer: decides the shapes of sequences.
            folder: in which replay checkpoints are kept.
            step: of the learner's checkpoint that the run goes on from; None for a new run.
        """
        self._config, self._copies, self._tokenizer = config, config.actors.copies, tokenizer
        self._admitted = self._networks()
        self._shapes = {
            task.name: sequence_shape(tokenizer.tasks[task.name], config.tokens.length) for task in config.tasks
        }
        self._root = folder.replay.absolute()
        self._saving: int | None = None
        self._saving_began = 0.0
        self._next: int | None = None
        self._servers = [ReplayServerState(shard=shard) for shard in range(config.replay.shards)]
        for server in self._servers:
            self._start(server, step)

    def wait_until_started(self, get: Callable[[Any], Any], note: Note) -> list[ServerAddress]:
        """Returns the addresses of all servers once they listen.

        Args:
            get: waits for an object reference.
            note: called with lines for the run's log.
        """
        for server in self._servers:
            if contents := server.set_started(get(server.began)):
                note(f"replay server {server.shard}: {contents}")
        return self.addresses

    @property
    def addresses(self) -> list[ServerAddress]:
        """The newest address of each server."""
        return [server.address for server in self._servers]

    @property
    def metrics(self) -> TableMetrics:
        """The newest metrics of every table, added up over servers; counters only grow."""
        return sum_metrics(server.counted for server in self._servers)

    @property
    def saving(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._saving is not None

    def check(self, note: Note) -> list[ServerAddress] | None:
        """Asks for metrics, and restarts servers that died or do not answer.

        Args:
            note: called with lines for the run's log.

        Returns:
            All addresses if any has changed, or has a new checkpoint; else None.

        Raises:
            RunFailed: if a server dies again and again.
        """
        self._admit_nodes()
        before = self.addresses
        for server in self._servers:
            self._check_server(server, note)
        self.check_saving(note)
        return self.addresses if self.addresses != before else None

    def save(self, step: int) -> None:
        """Makes every server write the checkpoint that belongs to the learner's of this step.

        If one is still being written, the new one begins afterwards.
        """
        if not self._config.replay.checkpoints:
            return
        if self._saving is not None:
            self._next = step
            return
        self._saving, self._saving_began = step, time.monotonic()
        for server in self._servers:
            server.saving = server.actor.save.remote(step)

    def check_saving(self, note: Note) -> None:
        """Looks, server by server, whether the checkpoint that is being written is complete."""
        if self._saving is None:
            return
        late = time.monotonic() - self._saving_began > BUSY_SECONDS
        for server in self._servers:
            if server.saving is None:
                continue
            if ray.wait([server.saving], timeout=0)[0]:
                self._end_saving(server, self._saving, note)
            elif late:
                self._restart(server, f"wrote at a checkpoint for {BUSY_SECONDS:.0f} s", note)
        if any(server.saving is not None for server in self._servers):
            return
        self._saving = None
        if self._next is not None:
            step, self._next = self._next, None
            self.save(step)

    def _start(self, server: ReplayServerState, step: int | None) -> None:
        config, shard, undivided = self._config.replay, server.shard, self._undivided_tables(server.shard)
        keep = self._config.learner.keep_checkpoints
        checkpoints = CheckpointSettings(self._root, shard, keep, self._tokenizer.fingerprint, step)
        make = partial(
            start_shard,
            shard,
            self._shapes,
            config,
            copies=self._copies,
            networks=self._admitted,
            unsharded=undivided,
            replacement=server.starts > 0,
            checkpoints=checkpoints if config.checkpoints else None,
        )
        server.starts += 1
        server.actor = start_actor(ReplayActor, make, num_cpus=config.cpus, resources=config.resources)
        server.began, server.asked, server.saving = server.actor.began.remote(), server.actor.metrics.remote(), None
        server.answered = server.asked_at = time.monotonic()

    def _check_server(self, server: ReplayServerState, note: Note) -> None:
        now = time.monotonic()
        if not ray.wait([server.asked], timeout=0)[0]:
            self._restart_if_silent(server, note)
            return
        try:
            if (error := _start_error(server)) is not None:
                self._restart(server, f"did not start ({last_line(error)})", note)
                return
            self._take_answer(server, ray.get(server.asked), note)
        except RayActorError as death:
            if not isinstance(death, ActorUnavailableError):
                self._restart(server, f"died ({last_line(death)})" if server.died is not None else "died", note)
                return
        except RayTaskError:
            # The actor lives, but Reverb does not answer it in time.
            if self._restart_if_silent(server, note):
                return
        if now - server.asked_at > ASK_SECONDS:
            server.asked, server.asked_at = server.actor.metrics.remote(), now

    def _restart_if_silent(self, server: ReplayServerState, note: Note) -> bool:
        """Restarts a server that has not answered for too long; returns whether it did."""
        busy = server.began is not None or server.saving is not None
        patience = BUSY_SECONDS if busy else HANG_SECONDS
        if time.monotonic() - server.answered <= patience:
            return False
        self._restart(server, f"did not answer for {patience:.0f} s", note)
        return True

    def _take_answer(self, server: ReplayServerState, metrics: TableMetrics, note: Note) -> None:
        """Takes new metrics; notes that a restarted server listens, and later that it is sampled from again."""
        now = time.monotonic()
        if server.began is not None:
            server.before = server.counted
            contents = server.set_started(ray.get(server.began))
            server.sampled_before = {
                name: server.before[name].sampled - table.sampled
                for name, table in metrics.items()
                if name in server.before
            }
            address = server.address.address
            note(f"replay server {server.shard} listens at {address}, {contents or 'empty, replay refills'}")
        elif server.died is not None and _sampled(metrics) > _sampled(server.metrics):
            note(f"recovered: replay server {server.shard} after {now - server.died:.1f} s")
            server.died = None
        server.metrics, server.answered = metrics, now

    def _restart(self, server: ReplayServerState, reason: str, note: Note) -> None:
        deaths = server.deaths.add()
        if deaths > MAX_FAILURES:
            raise RunFailed(f"replay server {server.shard} {reason}, {deaths} times")
        note(f"replay server {server.shard} {reason}; starting it again ({deaths} of {MAX_FAILURES})")
        if server.saving is not None:
            note(f"replay: server {server.shard} has no checkpoint of step {self._saving}")
        ray.kill(server.actor)
        if server.died is None:
            server.died = server.answered
        self._start(server, NEWEST)

    def _end_saving(self, server: ReplayServerState, step: int, note: Note) -> None:
        saving, server.saving = server.saving, None
        try:
            server.address = replace(server.address, covered=ray.get(saving))
        except RayActorError:
            note(f"replay: server {server.shard} has no checkpoint of step {step}: it died")
        except RayTaskError as error:
            note(f"replay: server {server.shard} has no checkpoint of step {step}: {last_line(error)}")

    def _undivided_tables(self, shard: int) -> dict[str, SequenceShape]:
        """Returns the tables that are on one server only: Gato actors write where their task's first expert writes."""
        shards, tasks = self._config.replay.shards, enumerate(self._config.tasks)
        mine = [task for index, task in tasks if shard_of(index, 0, self._copies, shards) == shard]
        return {
            table_name(task.name, source): self._shapes[task.name]
            for task in mine
            for source in gato_sources(self._config.relabel, task)
        }

    def _admit_nodes(self) -> None:
        """Lets nodes in that have joined the cluster, and forgets those that left."""
        networks = self._networks()
        if networks != self._admitted:
            self._admitted = networks
            for server in self._servers:
                server.actor.admit.remote(networks)

    def _networks(self) -> list[str]:
        """Returns the networks that may reach the servers from other machines."""
        if not self._config.ray.address:
            return list(self._config.replay.allow or ())
        return cluster_networks(self._config.replay.allow, [each for each in ray.nodes() if each["Alive"]])


def cluster_networks(allow: Sequence[str] | None, nodes: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the networks that may reach a cluster's replay servers; never an empty list.

    A node reaches its own server at the address by which the cluster knows it. A server without any network would
    refuse that.

    Args:
        allow: the configured networks; None for all nodes of the cluster.
        nodes: what `ray.nodes` returns.
    """
    if allow is None:
        return sorted(node["NodeManagerAddress"] for node in nodes)
    return list(allow) or [LOOPBACK_NETWORK]


def _start_error(server: ReplayServerState) -> RayTaskError | None:
    """Returns what kept a server from starting; None if it listens."""
    try:
        if server.began is not None:
            ray.get(server.began)
    except RayTaskError as error:
        return error
    return None


def _sampled(metrics: TableMetrics) -> int:
    return sum(table.sampled for table in metrics.values())
