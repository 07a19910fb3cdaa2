"""What the coordinator spends on actors, from processor time: `python -m tests.benchmarks.coordinator --actors 100 1000 10000`.

Every actor tells it figures and asks it twice, once a second or as seldom as `gato_dist.supervisor.planning` says for so many;
`--unstretched` has them all speak once a second. The driver asks for everybody's figures once a second. A few processes
make the calls of all actors: what connections cost beside calls is not in it.
"""

import argparse
import time
from datetime import date
from typing import Any

import psutil
import ray

from actors.ray_actors import REPORT_SECONDS, CoordinatorActor
from gato_dist.config.process_sections import EvaluationConfig, RayConfig
from gato_dist.config.run_config import load_config
from gato_dist.supervisor.planning import poll_interval_scale
from gato_dist.supervisor.ray_init import connect
from gato_dist.training.driver import TICK_SECONDS
from tests.chaos.running import KINDS, command_of, family

CALLERS = 4
FIGURES = dict.fromkeys(
    ("env_steps", "episodes", "dropped", "tokens", "return_sum", "play_seconds", "encode_seconds", "write_seconds"), 1.0
)


@ray.remote(num_cpus=0)
def call(coordinator: Any, first: int, actors: int, every: float, seconds: float) -> float:
    """Makes the calls of so many actors, evenly in time; calls a second."""
    began, made = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(actors * passed / every)
        answers = []
        for number in range(made, due):
            name = f"expert/{first + number % actors}"
            coordinator.report.remote(name, FIGURES, name)
            answers += [coordinator.stopping.remote(), coordinator.replay_place.remote(0)]
        ray.get(answers)
        made = max(made, due)
        time.sleep(0.01)
    return 3 * made / (time.monotonic() - began)


def measure(
    coordinator: Any, process: psutil.Process, actors: int, every: float, seconds: float
) -> tuple[float, float, float]:
    """Calls a second that were answered, cores that the coordinator took, and the longest that the driver waited for it."""
    share, waited = actors // CALLERS, 0.0
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    calls = [call.remote(coordinator, share * caller, share, every, seconds) for caller in range(CALLERS)]
    while not ray.wait(calls, num_returns=CALLERS, timeout=TICK_SECONDS)[0][CALLERS - 1 :]:
        asked = time.monotonic()
        ray.get([coordinator.metrics.remote(), coordinator.silent.remote()])
        waited = max(waited, time.monotonic() - asked)
    return sum(ray.get(calls)), (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began), waited


def mebibytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[0, 100, 400, 2000, 10000], help="multiples of 4")
    parser.add_argument("--unstretched", action="store_true")
    parser.add_argument("--seconds", type=float, default=10.0)
    words = parser.parse_args()
    connect(RayConfig(), CALLERS)
    coordinator = CoordinatorActor.remote(["task"], EvaluationConfig())
    ray.get(coordinator.set_replay_addresses.remote(("a place",)))
    (process,) = (each for each in family(psutil.Process()) if KINDS["coordinator"] in command_of(each))
    (server,) = (each for each in family(psutil.Process()) if "gcs_server --" in command_of(each))
    measure(coordinator, process, CALLERS, REPORT_SECONDS, 2.0)
    print(date.today())
    for actors in words.actors:
        config = load_config("configs/cluster/tiny.yaml", [f"actors.copies={max(actors, 2)}"])
        every = REPORT_SECONDS * (1 if words.unstretched else poll_interval_scale(config))
        rate, cores, waited = measure(coordinator, process, actors, every, max(words.seconds, 2 * every))
        print(
            f"{actors} actors, a report every {every:.1f} s: {rate:.0f} calls/s, the coordinator takes {cores:.3f} cores; "
            f"the driver waits for it {waited:.2f} s at most; Ray's server holds {mebibytes(server):.0f} MiB",
            flush=True,
        )
    ray.shutdown()


if __name__ == "__main__":
    main()
