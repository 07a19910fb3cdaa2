"""What actors cost the coordinator: `python -m tests.benchmarks.coordinator --actors 100 1000 10000`.

Every actor sends a report and asks two questions, once per report interval. `gato_dist.supervisor.planning` makes the
interval longer if there are many actors; `--unstretched` keeps it at one second. The driver asks for telemetry once a
second. A few processes make the calls of all actors, so the cost of many connections is not measured.
"""

import argparse
import time
from datetime import date
from typing import Any

import psutil
import ray

from actors.coordination.link import REPORT_SECONDS
from actors.ray_actors import CoordinatorActor
from gato_dist.config.run_config import load_config
from gato_dist.config.sections import EvaluationConfig, RayConfig
from gato_dist.supervisor.planning import poll_interval_scale
from gato_dist.supervisor.ray_init import connect
from gato_dist.telemetry import ExpertReport
from gato_dist.training.driver import TICK_SECONDS
from tests.chaos.running import KINDS, command_of, family

CALLERS = 4


@ray.remote(num_cpus=0)
def call(coordinator: Any, first: int, actors: int, every: float, seconds: float) -> float:
    """Makes the calls of some actors, evenly spread in time; returns calls per second."""
    began, made = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(actors * passed / every)
        answers = []
        for number in range(made, due):
            report = ExpertReport(task="task", number=first + number % actors)
            coordinator.report.remote(report, report.process)
            answers += [coordinator.stopping.remote(), coordinator.replay_address.remote(0)]
        ray.get(answers)
        made = max(made, due)
        time.sleep(0.01)
    return 3 * made / (time.monotonic() - began)


def measure(
    coordinator: Any, process: psutil.Process, *, actors: int, every: float, seconds: float
) -> tuple[float, float, float]:
    """Returns answered calls per second, cores that the coordinator used, and the driver's longest wait in seconds."""
    share, waited = actors // CALLERS, 0.0
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    calls = [call.remote(coordinator, share * caller, share, every, seconds) for caller in range(CALLERS)]
    while not ray.wait(calls, num_returns=CALLERS, timeout=TICK_SECONDS)[0][CALLERS - 1 :]:
        asked = time.monotonic()
        ray.get([coordinator.telemetry.remote(), coordinator.seconds_silent.remote()])
        waited = max(waited, time.monotonic() - asked)
    return sum(ray.get(calls)), (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began), waited


def mebibytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[0, 100, 400, 2000, 10000], help="multiples of 4")
    parser.add_argument("--unstretched", action="store_true", help="a report per second, however many actors")
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    connect(RayConfig(), CALLERS)
    coordinator = CoordinatorActor.remote(["task"], EvaluationConfig())
    ray.get(coordinator.set_replay_addresses.remote(("an address",)))
    (process,) = (each for each in family(psutil.Process()) if KINDS["coordinator"] in command_of(each))
    (server,) = (each for each in family(psutil.Process()) if "gcs_server --" in command_of(each))
    measure(coordinator, process, actors=CALLERS, every=REPORT_SECONDS, seconds=2.0)
    print(date.today())
    for actors in options.actors:
        config = load_config("configs/cluster/tiny.yaml", [f"actors.copies={max(actors, 2)}"])
        every = REPORT_SECONDS * (1 if options.unstretched else poll_interval_scale(config))
        seconds = max(options.seconds, 2 * every)
        rate, cores, waited = measure(coordinator, process, actors=actors, every=every, seconds=seconds)
        print(
            f"{actors} actors, a report every {every:.1f} s: {rate:.0f} calls/s, "
            f"the coordinator takes {cores:.3f} cores; "
            f"the driver waits for it {waited:.2f} s at most; Ray's server holds {mebibytes(server):.0f} MiB",
            flush=True,
        )
    ray.shutdown()


if __name__ == "__main__":
    main()
