"""The replay servers of a live run: one actor each, placed by what it reserves; started again where one dies."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayActorError, RayTaskError

from actors.ray_actors import ReplayActor
from gato_dist.config.run_config import RunConfig
from gato_dist.records.run_folder import RunFolder
from gato_dist.sequence import SequenceShape
from gato_dist.supervisor.planning import gato_sources
from gato_dist.supervisor.ray_init import RunFailed, last_line
from gato_dist.telemetry import TableReport
from gato_dist.tokens.packing import sequence_shape
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.restarts import MAX_DEATHS, Deaths
from replay.reverb.server import NEWEST, Disk
from replay.reverb.shards import shard_of, start_shard, sum_metrics
from replay.reverb.tables import ServerAddress, table_name

ASK_SECONDS = 0.9
HANG_SECONDS = 60.0  # without an answer
BUSY_SECONDS = 1800.0  # while it starts, for which a cluster may need a node first, or writes a checkpoint
LOOPBACK_NETWORK = "127.0.0.0/8"
Note = Callable[[str], None]


@dataclass
class _Server:
    """One server's actor. began: reference of where it is and what it holds, until it has said so; asked: of figures on
    their way. place: as it was last; starts: of those before it and its own.

    before: what the counters were when the last one died; offset: rows sampled, by table, beyond its own; answered:
    when it last did; died: when it was last known to be alive, until it serves again.
    """

    shard: int
    actor: Any = None
    began: Any = None
    asked: Any = None
    saving: Any = None
    place: ServerAddress = field(default_factory=lambda: ServerAddress(""))
    starts: int = 0
    metrics: dict[str, TableReport] = field(default_factory=dict)
    before: dict[str, TableReport] = field(default_factory=dict)
    offset: dict[str, int] = field(default_factory=dict)
    answered: float = 0.0
    asked_at: float = 0.0
    died: float | None = None
    deaths: Deaths = field(default_factory=Deaths)

    @property
    def counted(self) -> dict[str, TableReport]:
        """Figures of all of its starts. Rows that it is given again after a death were counted before."""
        return {
            name: TableReport(
                size=table.size,
                inserted=max(table.inserted, self.before.get(name, table).inserted),
                sampled=table.sampled + self.offset.get(name, 0),
            )
            for name, table in self.metrics.items()
        }

    def listens(self, began: tuple[str, str, dict[str, dict[int, int]]]) -> str:
        """began: what its actor says once it listens. What it holds from before, in words."""
        address, words, covered = began
        self.began, self.place, self.answered = None, ServerAddress(address, self.starts, covered), time.monotonic()
        return words


class ReplayServers:
    """Starts `replay.shards` servers. What they answer is waited for by nobody: a cluster may have to grow first."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, folder: RunFolder, step: int | None = None) -> None:
        """step: of the learner's checkpoint that the run goes on from; None for a new run."""
        self._config, self._copies, self._tokenizer = config, config.actors.copies, tokenizer
        self._admitted = self._networks()
        self._shapes = {
            task.name: sequence_shape(tokenizer.tasks[task.name], config.tokens.length) for task in config.tasks
        }
        self._root = folder.replay.absolute()
        self._saving: int | None = None
        self._saving_began = 0.0
        self._next: int | None = None
        self._servers = [_Server(shard) for shard in range(config.replay.shards)]
        for server in self._servers:
            self._start(server, step)

    def settle(self, ask: Callable[[Any], Any], note: Note) -> list[ServerAddress]:
        """Where each server is, once they listen. ask: waits for a reference."""
        for server in self._servers:
            if began := server.listens(ask(server.began)):
                note(f"replay server {server.shard}: {began}")
        return self.places

    @property
    def places(self) -> list[ServerAddress]:
        """Of each, as it was last."""
        return [server.place for server in self._servers]

    @property
    def metrics(self) -> dict[str, TableReport]:
        """Of every table, as last told, added up over servers; counters only grow."""
        return sum_metrics(server.counted for server in self._servers)

    @property
    def saving(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._saving is not None

    def shard_of(self, task: int, copy: int) -> int:
        """The server that this expert writes to."""
        return shard_of(task, copy, self._copies, len(self._servers))

    def check(self, note: Note) -> list[ServerAddress] | None:
        """Asks for figures and starts what died; the places of all servers where one has another or a new checkpoint.

        Raises RunFailed where one dies again and again.
        """
        self._admit_nodes()
        before = self.places
        for server in self._servers:
            self._look(server, note)
        self.look_at_saving(note)
        return self.places if self.places != before else None

    def save(self, step: int) -> None:
        """Has every server write what it holds, beside the learner's checkpoint of this step; after one under way."""
        if not self._config.replay.checkpoints:
            return
        if self._saving is not None:
            self._next = step
            return
        self._saving, self._saving_began = step, time.monotonic()
        for server in self._servers:
            server.saving = server.actor.save.remote(step)

    def _start(self, server: _Server, step: int | None) -> None:
        config, shard, kept = self._config.replay, server.shard, self._whole(server.shard)
        keep = self._config.learner.keep_checkpoints
        disk = Disk(self._root, shard, keep, self._tokenizer.fingerprint, step) if config.checkpoints else None
        make = partial(
            start_shard, shard, self._shapes, config, self._copies, self._admitted, kept, server.starts > 0, disk
        )
        server.starts += 1
        actor: Any = ReplayActor
        server.actor = actor.options(num_cpus=config.cpus, resources=config.resources).remote(make)
        server.began, server.asked, server.saving = server.actor.began.remote(), server.actor.metrics.remote(), None
        server.answered = server.asked_at = time.monotonic()

    def _look(self, server: _Server, note: Note) -> None:
        now = time.monotonic()
        if not ray.wait([server.asked], timeout=0)[0]:
            self._wait(server, note)
            return
        try:
            self._answer(server, ray.get(server.asked), note)
        except RayActorError as error:
            if not isinstance(error, ActorUnavailableError):
                self._replace(server, f"died ({last_line(error)})" if server.died is not None else "died", note)
                return
        except RayTaskError:
            # It does not answer Reverb's own clients in time.
            if self._wait(server, note):
                return
        if now - server.asked_at > ASK_SECONDS:
            server.asked, server.asked_at = server.actor.metrics.remote(), now

    def _wait(self, server: _Server, note: Note) -> bool:
        """For one that does not answer, as long as there is reason to. Whether it was replaced."""
        busy = server.began is not None or server.saving is not None
        patience = BUSY_SECONDS if busy else HANG_SECONDS
        if time.monotonic() - server.answered <= patience:
            return False
        self._replace(server, f"did not answer for {patience:.0f} s", note)
        return True

    def _answer(self, server: _Server, metrics: dict[str, TableReport], note: Note) -> None:
        now = time.monotonic()
        if server.began is not None:
            server.before = server.counted
            began = server.listens(ray.get(server.began))
            server.offset = {
                name: server.before[name].sampled - table.sampled
                for name, table in metrics.items()
                if name in server.before
            }
            note(f"replay server {server.shard} listens at {server.place.address}, {began or 'empty, replay refills'}")
        elif server.died is not None and _drawn(metrics) > _drawn(server.metrics):
            note(f"recovered: replay server {server.shard} after {now - server.died:.1f} s")
            server.died = None
        server.metrics, server.answered = metrics, now

    def _replace(self, server: _Server, why: str, note: Note) -> None:
        deaths = server.deaths.add()
        if deaths > MAX_DEATHS:
            raise RunFailed(f"replay server {server.shard} {why}, {deaths} times")
        note(f"replay server {server.shard} {why}; starting it again ({deaths} of {MAX_DEATHS})")
        if server.saving is not None:
            note(f"replay: server {server.shard} has no checkpoint of step {self._saving}")
        ray.kill(server.actor)
        if server.died is None:
            server.died = server.answered
        self._start(server, NEWEST)

    def look_at_saving(self, note: Note) -> None:
        """Whether the checkpoint that is being written is there, server by server."""
        if self._saving is None:
            return
        late = time.monotonic() - self._saving_began > BUSY_SECONDS
        for server in self._servers:
            if server.saving is None:
                continue
            if ray.wait([server.saving], timeout=0)[0]:
                self._saved(server, self._saving, note)
            elif late:
                self._replace(server, f"wrote at a checkpoint for {BUSY_SECONDS:.0f} s", note)
        if any(server.saving is not None for server in self._servers):
            return
        self._saving = None
        if self._next is not None:
            step, self._next = self._next, None
            self.save(step)

    def _saved(self, server: _Server, step: int, note: Note) -> None:
        saving, server.saving = server.saving, None
        try:
            server.place = replace(server.place, covered=ray.get(saving))
        except RayActorError:
            note(f"replay: server {server.shard} has no checkpoint of step {step}: it died")
        except RayTaskError as error:
            note(f"replay: server {server.shard} has no checkpoint of step {step}: {last_line(error)}")

    def _whole(self, shard: int) -> dict[str, SequenceShape]:
        """Tables that lie on one server: what Gato actors write goes where the first expert of their task writes."""
        shards, tasks = self._config.replay.shards, enumerate(self._config.tasks)
        mine = [task for index, task in tasks if shard_of(index, 0, self._copies, shards) == shard]
        return {
            table_name(task.name, source): self._shapes[task.name]
            for task in mine
            for source in gato_sources(self._config, task)
        }

    def _admit_nodes(self) -> None:
        """Lets nodes in that have joined the cluster, forgets those that left."""
        networks = self._networks()
        if networks != self._admitted:
            self._admitted = networks
            for server in self._servers:
                server.actor.admit.remote(networks)

    def _networks(self) -> list[str]:
        """Who may reach the servers from other machines."""
        if not self._config.ray.address:
            return list(self._config.replay.allow or ())
        return cluster_networks(self._config.replay.allow, [each for each in ray.nodes() if each["Alive"]])


def cluster_networks(allow: Sequence[str] | None, nodes: Sequence[dict[str, Any]]) -> list[str]:
    """Who may reach a cluster's replay servers; never empty.

    A node reaches its own server at the address that the cluster knows it by, which a server of no networks refuses.
    """
    if allow is None:
        return sorted(node["NodeManagerAddress"] for node in nodes)
    return list(allow) or [LOOPBACK_NETWORK]


def _drawn(metrics: dict[str, TableReport]) -> int:
    return sum(table.sampled for table in metrics.values())
