"""What the board spends on an actor, from processor time: `python -m tests.benchmarks.board --actors 50 100 200`.

Every actor tells it figures once a second, and asks it twice, as `actors.ray_actors` does. A few processes make the
calls of all of them: what connections cost beside calls is not in it.
"""

import argparse
import time
from datetime import date
from typing import Any

import psutil
import ray

from actors.ray_actors import REPORT_SECONDS, BoardActor
from gato_dist.config_sections import EvaluationConfig, RayConfig
from gato_dist.connect import connect
from tests.chaos.running import KINDS, command_of, family

CALLERS = 4
FIGURES = dict.fromkeys(
    ("env_steps", "episodes", "dropped", "tokens", "return_sum", "play_seconds", "encode_seconds", "write_seconds"), 1.0
)


@ray.remote(num_cpus=0)
def call(board: Any, first: int, actors: int, seconds: float) -> float:
    """Makes the calls of so many actors, evenly in time; calls a second."""
    began, made = time.monotonic(), 0
    while (passed := time.monotonic() - began) < seconds:
        due = int(actors * passed / REPORT_SECONDS)
        answers = []
        for number in range(made, due):
            name = f"expert/{first + number % actors}"
            board.report.remote(name, FIGURES, name)
            answers += [board.stopping.remote(), board.replay_place.remote(0)]
        ray.get(answers)
        made = max(made, due)
        time.sleep(0.01)
    return 3 * made / (time.monotonic() - began)


def measure(board: Any, process: psutil.Process, actors: int, seconds: float) -> tuple[float, float]:
    """Calls a second that were answered, and cores that the board took."""
    share = actors // CALLERS
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    rates = ray.get([call.remote(board, share * caller, share, seconds) for caller in range(CALLERS)])
    return sum(rates), (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--actors", type=int, nargs="+", default=[0, 50, 100, 200, 400], help=f"multiples of {CALLERS}")
    parser.add_argument("--seconds", type=float, default=10.0)
    words = parser.parse_args()
    connect(RayConfig(), CALLERS)
    board = BoardActor.remote(["task"], EvaluationConfig())
    ray.get(board.place_replay.remote(("a place",)))
    (process,) = (each for each in family(psutil.Process()) if KINDS["board"] in command_of(each))
    measure(board, process, CALLERS, 2.0)
    print(date.today())
    for actors in words.actors:
        rate, cores = measure(board, process, actors, words.seconds)
        print(f"{actors} actors: {rate:.0f} calls/s, the board takes {cores:.3f} cores", flush=True)
    ray.shutdown()


if __name__ == "__main__":
    main()
