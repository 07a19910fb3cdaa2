"""A Ray cluster of several nodes on this machine, with token authentication: `python -m tests.support.local_cluster`.

Nodes are raylets of their own, with object stores of their own, as on several machines; network and cores are shared.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What the nodes offer, as those of configs/cluster do: the first also runs the driver.
ROLES = ("learner", "actors", "replay")
STORE = 256 * 2**20


def environment(token: Path) -> dict[str, str]:
    """What every process needs that starts or joins the cluster. token: a file of its own, not the user's."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_worker_niceness": "0",
        # All nodes' processes start on this machine's cores at once: Ray would give each a minute.
        "RAY_worker_register_timeout_seconds": "600",
    }


@contextmanager
def local_cluster(nodes: int, folder: Path, cpus: int = 8, dashboard_port: int | None = None) -> Iterator[str]:
    """Starts `nodes` nodes; yields host:port for `ray.address`; ends them all.

    The first offers the resource `learner`, the others `actors` and `replay` in turn, and the first what is left over.
    folder: for the token and Ray's files; short, since sockets lie there. This process must not have used Ray before.
    dashboard_port: of the job server, which needs ray[default]; none where not given. Nodes listen at the machine's own
    address: Ray would look there for a cluster at 127.0.0.1, too.
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
    words = parser.parse_args()
    words.folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with local_cluster(words.nodes, words.folder, dashboard_port=words.dashboard_port) as address:
        exports = " ".join(f"{key}={value}" for key, value in environment(words.folder / "auth_token").items())
        print(f"export {exports}\nray.address={address}", flush=True)
        signal.pause()


if __name__ == "__main__":
    main()
