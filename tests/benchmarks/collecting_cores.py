"""Steps a second on all cores, collecting against envpool alone: python -m tests.benchmarks.collecting_cores

As many actor processes as the machine has cores, one environment thread each, all the way into a Reverb server that
is one more process on the same cores. Against it, strictest first: as many processes that only step envpool; then one
process with a thread for each core, stepped asynchronously, and together. They take turns, so that what else the
machine does strikes all alike; a ratio is the median over rounds, with the least and the most.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import import_envpool
from gato_dist.tasks import playable_entry
from tests.benchmarks.collecting import ENVS, STEPS, TASKS, raw, replay_server, stages

LEVELS = ("go-to-local", "pickup-loc", "unlock-local", "go-to", "key-corridor", "boss-level", "synth")
WARM = 3 * STEPS


def collecting(task: str, first: int, port: int, threads: int) -> Iterator[int]:
    with contextmanager(stages)(task, port, first) as works:
        yield from works["+ Reverb"]


def alone(task: str, first: int, port: int, threads: int) -> Iterator[int]:
    return raw(task, first)


def together(task: str, first: int, port: int, threads: int) -> Iterator[int]:
    return raw(task, first, 2 * ENVS * threads, threads)


def asynchronous(task: str, first: int, port: int, threads: int) -> Iterator[int]:
    """As many environments as `together`; half of them at a time."""
    entry = playable_entry(task)
    suite = getattr(import_module(f"gato_dist.envs.suites.{entry.family}"), "OPTIONS", {})
    count = ENVS * threads
    pool = import_envpool().make_gymnasium(
        entry.env, num_envs=2 * count, batch_size=count, num_threads=threads, seed=first,
        **suite | entry.options | {"max_episode_steps": STEPS},
    )  # fmt: skip
    space, rng = pool.action_space, np.random.default_rng(0)
    if hasattr(space, "n"):
        table = rng.integers(space.n, size=(997, count)).astype(space.dtype)
    else:
        table = rng.uniform(-1, 1, size=(997, count, *space.shape)).astype(space.dtype)
    pool.async_reset()
    while True:
        for actions in table:
            pool.send(actions, pool.recv()[-1]["env_id"])
            yield count


def work(make: Callable[..., Iterator[int]], arguments: tuple[Any, ...], orders: Any) -> None:
    """Runs in a process of its own: takes a turn of as many seconds as it is told, says how many steps a second."""
    steps = make(*arguments)
    sum(islice(steps, WARM))
    orders.send("ready")
    while seconds := orders.recv():
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            done += sum(islice(steps, STEPS + 1))
        orders.send(done / (time.perf_counter() - began))


@contextmanager
def workers(make: Callable[..., Iterator[int]], task: str, port: int, count: int, threads: int) -> Iterator[list[Any]]:
    """Pipes to `count` processes that are ready; no two share a seed."""
    context, pipes = get_context("spawn"), []
    processes = []
    for index in range(count):
        here, there = context.Pipe()
        arguments = (task, 10_000 * index, port, threads)
        processes.append(context.Process(target=work, args=(make, arguments, there), daemon=True))
        processes[-1].start()
        pipes.append(here)
    for pipe in pipes:
        pipe.recv()
    yield pipes
    for pipe in pipes:
        pipe.send(0)
    for process in processes:
        process.join(10)
        process.kill()


def rates(task: str, cores: int, rounds: int, seconds: float) -> dict[str, np.ndarray]:
    """Steps a second of each contender in each round, float64 [rounds]."""
    contenders = {
        f"collecting, {cores} actors": (collecting, cores, 1),
        f"envpool, {cores} processes of one thread": (alone, cores, 1),
        f"envpool, one process, async, {cores} threads": (asynchronous, 1, cores),
        f"envpool, one process, sync, {cores} threads": (together, 1, cores),
    }
    found: dict[str, list[float]] = {name: [] for name in contenders}
    with ExitStack() as stack:
        port = stack.enter_context(replay_server(task))
        pipes = {
            name: stack.enter_context(workers(make, task, port, count, threads))
            for name, (make, count, threads) in contenders.items()
        }
        for _ in range(rounds):
            for name, some in pipes.items():
                for pipe in some:
                    pipe.send(seconds)
                found[name].append(sum(pipe.recv() for pipe in some))
    return {name: np.array(each) for name, each in found.items()}


def report(task: str, found: dict[str, np.ndarray]) -> list[float]:
    """Prints a task's lines; returns the ratios to each reference."""
    ours, ratios = next(iter(found.values())), []
    print(f"{task}: {ENVS} environments an actor")
    for name, each in found.items():
        line = f"  {name:42} {np.median(each):9,.0f} steps/s"
        if each is not ours:
            ratio = ours / each
            ratios.append(float(np.median(ratio)))
            line += f"   collecting reaches {ratios[-1]:4.0%} ({ratio.min():.0%} … {ratio.max():.0%})"
        print(line, flush=True)
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", default=",".join((*TASKS, *(f"babyai/{level}" for level in LEVELS[1:]))))
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="of a turn")
    options = parser.parse_args()
    print(f"{date.today()}, {options.cores} cores, {options.rounds} rounds of {options.seconds} s each")
    levels = []
    for task in options.tasks.split(","):
        ratios = report(task, rates(task, options.cores, options.rounds, options.seconds))
        levels += [ratios] if task.startswith("babyai/") else []
    if len(levels) > 1:
        strictest, *others = np.median(levels, axis=0)
        print(
            f"median of {len(levels)} levels of BabyAI: {strictest:.0%} of separate processes, "
            f"{others[0]:.0%} of async, {others[1]:.0%} of sync"
        )


if __name__ == "__main__":
    main()
