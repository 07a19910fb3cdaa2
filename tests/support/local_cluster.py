"""A Ray cluster of several nodes on this machine, with token authentication: `python -m tests.support.local_cluster`.

Each node has a raylet and an object store, as on a real cluster; nodes share this machine's network and cores.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Resources that the nodes offer, as those of configs/cluster do. The first node also runs the driver.
ROLES = ("learner", "actors", "replay")
STORE = 256 * 2**20


def environment(token: Path) -> dict[str, str]:
    """Returns environment variables for processes that start or join the cluster. token: a file, not the user's own."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_worker_niceness": "0",
        # All nodes' processes start on this machine's cores at once: Ray would give each a minute.
        "RAY_worker_register_timeout_seconds": "600",
    }


@contextmanager
def local_cluster(nodes: int, folder: Path, cpus: int = 8, dashboard_port: int | None = None) -> Iterator[str]:
    """Starts a cluster, yields its host:port for `ray.address`, and stops it at the end.

    The first node offers the resource `learner`, the others `actors` and `replay` in turn; the first also offers those
    that no other node has. This process must not have used Ray before. Nodes listen at the machine's own address,
    because Ray would look there even for a cluster at 127.0.0.1.

    Args:
        nodes: number of nodes.
        folder: for the token and Ray's files. Its path must be short, because sockets are made in it.
        cpus: CPUs that each node offers.
        dashboard_port: port of the job server, which needs ray[default]; None: no job server.
    """
    token = folder / "auth_token"
    if not token.exists():
        token.touch(mode=0o600)
        token.write_text(os.urandom(32).hex())
    os.environ.update(environment(token))
    from ray.cluster_utils import Cluster

    offered = [{ROLES[0]: 1000.0}, *({ROLES[1 + index % 2]: 1000.0} for index in range(nodes - 1))]
    offered[0] |= dict.fromkeys(ROLES[nodes:], 1000.0)
    common = {"num_cpus": cpus, "object_store_memory": STORE}
    head = common | {
        "resources": offered[0],
        "temp_dir": str(folder / "ray"),
        "include_dashboard": bool(dashboard_port),
    }
    if dashboard_port:
        head |= {"dashboard_host": "127.0.0.1", "dashboard_port": dashboard_port}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for resources in offered[1:]:
            cluster.add_node(**common, resources=resources)
        yield cluster.address
    finally:
        cluster.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--dashboard-port", type=int, help="of the job server; needs ray[default]")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "gato-cluster")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with local_cluster(arguments.nodes, arguments.folder, dashboard_port=arguments.dashboard_port) as address:
        exports = " ".join(f"{key}={value}" for key, value in environment(arguments.folder / "auth_token").items())
        print(f"export {exports}\nray.address={address}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
