"""The replay servers of a live run: one actor each, placed by what it reserves."""

from functools import partial
from typing import Any

import ray

from actors.ray_actors import ReplayActor
from gato_dist.config import RunConfig
from gato_dist.relabelling import gato_sources
from gato_dist.sequence import RowShape
from gato_dist.tokens.packing import row_shape
from gato_dist.tokens.tokenizer import Tokenizer
from replay.shards import shard_of, start_shard
from replay.tables import admit, table_figures, table_name


class ReplayServers:
    """Starts `replay.shards` servers. What they answer is a Ray reference: a cluster may have to grow first."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer) -> None:
        self._config, self._copies, replay = config, config.actors.copies, config.replay
        self._admitted = self._networks()
        shapes = {task.name: row_shape(tokenizer.tasks[task.name], config.tokens.length) for task in config.tasks}
        actor: Any = ReplayActor
        placed = actor.options(num_cpus=replay.cpus, resources=replay.resources)
        starts = [
            partial(start_shard, shard, shapes, replay, self._copies, self._admitted, self._whole(shard, shapes))
            for shard in range(replay.shards)
        ]
        self._actors = [placed.remote(start) for start in starts]

    def _whole(self, shard: int, shapes: dict[str, RowShape]) -> dict[str, RowShape]:
        """Tables that lie on one server: what Gato actors write goes where the first expert of their task writes."""
        shards, tasks = self._config.replay.shards, enumerate(self._config.tasks)
        mine = [task for index, task in tasks if shard_of(index, 0, self._copies, shards) == shard]
        return {
            table_name(task.name, source): shapes[task.name]
            for task in mine
            for source in gato_sources(self._config, task)
        }

    def addresses(self) -> list[Any]:
        """References of each server's host:port."""
        return [actor.address.remote() for actor in self._actors]

    def figures(self) -> list[Any]:
        """References of each server's tables, as `table_figures` returns them."""
        return [actor.figures.remote(table_figures) for actor in self._actors]

    def shard_of(self, task: int, copy: int) -> int:
        """The server that this expert writes to."""
        return shard_of(task, copy, self._copies, len(self._actors))

    def admit_nodes(self) -> list[Any]:
        """Lets nodes in that have joined the cluster, forgets those that left; references of when it is done."""
        networks = self._networks()
        if networks == self._admitted:
            return []
        self._admitted = networks
        return [actor.apply.remote(partial(admit, networks=networks)) for actor in self._actors]

    def _networks(self) -> list[str]:
        """Who may reach the servers from other machines."""
        config = self._config
        if config.replay.allow is not None or not config.ray.address:
            return list(config.replay.allow or ())
        return sorted(node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"])
