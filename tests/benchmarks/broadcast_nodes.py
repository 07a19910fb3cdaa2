"""How often a broadcast of weights is sent to each node: `python -m tests.benchmarks.broadcast_nodes ADDRESS`.

The coordinator on this node publishes weights, and several processes on every other node fetch them.
"""

import argparse
import time
from typing import Any

import numpy as np
import ray
from ray._private.internal_api import node_stats
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.ray_actors import CoordinatorActor
from gato_dist.config.sections import EvaluationConfig


def created_bytes() -> dict[str, int]:
    """Returns bytes that each node's object store has received in total, by node id."""
    return {
        node["NodeID"]: node_stats(
            node["NodeManagerAddress"], node["NodeManagerPort"], False
        ).store_stats.cumulative_created_bytes
        for node in ray.nodes()
        if node["Alive"]
    }


@ray.remote(num_cpus=0)
class Reader:
    """Fetches the newest weights, as an evaluator does."""

    def read(self, coordinator: Any) -> float:
        weights: Any = ray.get(coordinator.newest_weights.remote())
        return float(sum(array.sum() for array in ray.get(weights.reference).values()))


def pinned(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def broadcast(size: int, readers: int) -> tuple[float, dict[str, float]]:
    """Publishes `size` bytes, which `readers` processes on each other node fetch at the same time.

    Returns:
        Seconds from publication until all have the weights, and how often each of these nodes received them.
    """
    here = ray.get_runtime_context().get_node_id()
    coordinator: Any = CoordinatorActor.options(scheduling_strategy=pinned(here)).remote([], EvaluationConfig())
    others = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["NodeID"] != here]
    actors: list[Any] = [
        Reader.options(scheduling_strategy=pinned(node)).remote() for node in others for _ in range(readers)
    ]
    for version, bytes_ in enumerate((1024, size)):  # the first one only waits for every process
        before, began = created_bytes(), time.monotonic()
        ray.get(coordinator.publish.remote(version, 0, {"weight": np.ones(bytes_ // 4, np.float32)}, time.time()))
        assert ray.get([actor.read.remote(coordinator) for actor in actors]) == [bytes_ // 4] * len(actors)
        seconds, after = time.monotonic() - began, created_bytes()
    return seconds, {node: (after[node] - before[node]) / size for node in others}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="of a running cluster: host:port")
    parser.add_argument("--megabytes", type=float, default=64.0)
    parser.add_argument("--readers", type=int, default=4, help="processes per node that fetch the weights")
    options = parser.parse_args()
    ray.init(address=options.address, log_to_driver=False)
    seconds, copies = broadcast(int(options.megabytes * 1e6), options.readers)
    for node, times in copies.items():
        print(f"node {node[:8]}: {options.readers} readers, weights taken in {times:.2f} times")
    print(f"{options.megabytes:g} MB on {len(copies)} other nodes after {seconds:.2f} s")


if __name__ == "__main__":
    main()
