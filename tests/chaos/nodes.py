"""A cluster of three Ray nodes on this machine. All but the first can be killed."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.chaos.running import KINDS, command_of, family
from tests.support.local_cluster import STORE, environment

# The coordinator and the drivers run on the first node, everything else on the others, which are equal.
OVERRIDES = (
    "learner.resources={learner: 1}", "replay.resources={replay: 1}", "actors.resources={actors: 1}",
    "evaluation.resources={actors: 1}",
)  # fmt: skip
SPARE = {"learner": 1000.0, "actors": 1000.0, "replay": 1000.0}


class Nodes:
    """A cluster that this process started.

    Args:
        cluster: `ray.cluster_utils.Cluster`.
        common: options of every node.

    Attributes:
        overrides: configuration overrides with which a run joins the cluster.
    """

    def __init__(self, cluster: Any, common: dict[str, Any]) -> None:
        self._cluster, self._common = cluster, common
        self._nodes = [cluster.add_node(**common, resources=SPARE) for _ in range(2)]
        self.overrides = [f"ray.address={cluster.address}", *OVERRIDES]

    def kill(self, draw: random.Random) -> list[str]:
        """Kills a node with all its processes, and adds a new one. Returns the kinds of the run's processes on it."""
        node = draw.choice(sorted(self._nodes, key=lambda each: each.node_id))
        raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
        killed = [*family(raylet), raylet]
        kinds = [kind for each in killed for kind, command in KINDS.items() if command in command_of(each)]
        for each in killed:
            each.kill()
        self._nodes.remove(node)
        self._cluster.remove_node(node, allow_graceful=False)
        self._nodes.append(self._cluster.add_node(**self._common, resources=SPARE))
        return kinds


@contextmanager
def three_nodes(folder: Path) -> Iterator[Nodes]:
    """Starts the cluster.

    Args:
        folder: needs a short path, because sockets are created there.

    This process must not have used Ray before.
    """
    token = folder / "auth_token"
    token.touch(mode=0o600)
    token.write_text(os.urandom(32).hex())
    os.environ.update(environment(token))
    from ray.cluster_utils import Cluster

    common = {"num_cpus": 16, "object_store_memory": STORE}
    head = common | {"temp_dir": str(folder / "ray"), "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield Nodes(cluster, common)
    finally:
        cluster.shutdown()
