"""From the learner to every actor: `python -m tests.benchmarks.broadcast [--preset paper-79m] [--actors 8]`.

A learner trains on one batch, and publishes its weights every few steps through the coordinator of a live run. Actors
in their own processes ask for the newest version and load it into a model. The benchmark prints how long a broadcast
holds the learner up (including the copy of the weights), how long its steps take with and without a broadcast under
way, and the time from publication to use, over all actors and versions. `--blocking` waits for the coordinator.
"""

import argparse
import platform
import time
from datetime import date
from typing import Any

import numpy as np
import ray
import torch

from actors.coordination.link import CoordinatorLink, RayHost
from actors.evaluate import load_state
from actors.ray_actors import CoordinatorActor
from gato_dist.config.process_sections import EvaluationConfig, RayConfig
from gato_dist.supervisor.ray_init import STORE_BYTES, connect
from gato_dist.supervisor.ray_session import COPIES
from learner.learner import Learner
from tests.benchmarks.learner import KINDS, make_batch, make_config, make_tokenizer

POLL_SECONDS = 0.05


@ray.remote(num_cpus=0)
class Reader:
    """An actor that only loads weights."""

    def __init__(self, config: Any, vocabulary: int) -> None:
        from gato_dist.model.gato import Gato

        torch.set_num_threads(1)
        self._model = Gato(config, vocabulary, 0)

    def ready(self) -> None:
        """Returns once the model is made."""

    def run(self, coordinator: Any, last: int) -> dict[int, float]:
        """Loads versions until version `last`; returns the seconds from publication to use of each."""
        delays: dict[int, float] = {}
        while last not in delays:
            weights = ray.get(coordinator.newest_weights.remote())
            if weights is None or weights.version in delays:
                time.sleep(POLL_SECONDS)
                continue
            load_state(self._model, ray.get(weights.reference))
            delays[weights.version] = time.time() - weights.published
        return delays


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--preset", default="paper-79m")
    parser.add_argument("--actors", type=int, default=8)
    parser.add_argument("--versions", type=int, default=10)
    parser.add_argument("--every", type=int, default=4, help="steps between two versions")
    parser.add_argument("--rows", type=int, default=64 if torch.cuda.is_available() else 1)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--blocking", action="store_true", help="wait for the coordinator after each version")
    return parser.parse_args()


def train(options: argparse.Namespace, learner: Learner, batch: Any, host: RayHost) -> dict[str, list[float]]:
    """Returns seconds: of steps with and without a broadcast under way, and of broadcasts."""
    seconds: dict[str, list[float]] = {"copy": [], "held": [], "beside": [], "plain": []}
    feed = learner.prepare(batch)

    def step() -> float:
        began = time.perf_counter()
        learner.step(feed)
        return time.perf_counter() - began

    seconds["plain"] = [step() for _ in range(options.every + 1)][1:]
    for version in range(1, options.versions + 1):
        began = time.perf_counter()
        weights = learner.weights()
        seconds["copy"].append(time.perf_counter() - began)
        host.publish(version, learner.counters.step, weights)
        if options.blocking:
            host.wait()
        seconds["held"].append(time.perf_counter() - began)
        seconds["beside"] += [step() for _ in range(options.every)]
    host.wait()
    return seconds


def main() -> None:
    options = parse()
    gpu = torch.cuda.is_available()
    torch.set_num_threads(1 if not gpu else torch.get_num_threads())
    settings = argparse.Namespace(
        accumulate=1, precision="bfloat16" if gpu else "float32", compile=False, recompute=False,
        device="cuda" if gpu else "cpu", length=options.length,
    )  # fmt: skip
    tokenizer = make_tokenizer()
    config = make_config(options.preset, options.rows, settings)
    learner = Learner.for_run(config, tokenizer, settings.device)
    size = 4 * sum(parameter.numel() for parameter in learner.model.parameters())
    connect(RayConfig(), options.actors + 2, max(STORE_BYTES, COPIES * size))
    try:
        coordinator: Any = CoordinatorActor.remote(["metaworld/reach-v3"], EvaluationConfig())  # type: ignore[attr-defined]
        readers: list[Any] = [
            Reader.remote(config.model, tokenizer.vocabulary.size)  # type: ignore[attr-defined]
            for _ in range(options.actors)
        ]
        ray.get([reader.ready.remote() for reader in readers])
        running = [reader.run.remote(coordinator, options.versions) for reader in readers]
        batch = make_batch(tokenizer, KINDS["state"], options.rows, options.length)
        seconds = train(options, learner, batch, RayHost(CoordinatorLink(coordinator)))
        delays = ray.get(running)
    finally:
        ray.shutdown()
    uses = [delay for each in delays for delay in each.values()]
    print(
        f"{date.today()}, {torch.cuda.get_device_name() if gpu else platform.processor() or platform.machine()}, "
        f"{options.preset}: {size / 1e6:,.0f} MB, {options.actors} actors, {options.versions} versions"
        f"{', waiting for the coordinator' * options.blocking}"
    )
    for name, what in (
        ("plain", "step, nothing published yet"), ("beside", "step after a broadcast"), ("copy", "copy to the host"),
        ("held", "a broadcast holds the learner"),
    ):  # fmt: skip
        p50, p99 = np.percentile(seconds[name], (50, 99))
        print(f"{what:30} p50 {p50:7.3f} s  p99 {p99:7.3f} s")
    p50, p99 = np.percentile(uses, (50, 99))
    print(f"{'from publication to use':30} p50 {p50:7.3f} s  p99 {p99:7.3f} s  ({len(uses)} uses)")


if __name__ == "__main__":
    main()
