"""Runs many independent jobs, one by one or in Ray tasks; a job whose input is wrong does not end the others."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gato_dist.config import RayConfig
from gato_dist.errors import InputError

J = TypeVar("J")
R = TypeVar("R")


def run_jobs(work: Callable[[J], R], jobs: list[J], workers: int) -> Iterator[tuple[J, R | InputError]]:
    """Each job with what `work` returned, or the InputError that it raised, as they end. workers: jobs at once."""
    if workers > 1:
        yield from _in_ray(work, jobs, workers)
        return
    for job in jobs:
        yield job, _caught(work, job)


def _in_ray(work: Callable[[J], R], jobs: list[J], workers: int) -> Iterator[tuple[J, R | InputError]]:
    import ray

    from gato_dist.system import connect

    connect(RayConfig(), workers)
    remote: Any = ray.remote(num_cpus=1, max_retries=0)(_caught)
    waiting = list(reversed(jobs))
    running: dict[Any, J] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.pop()
                running[remote.remote(work, job)] = job
            (done,), _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done), ray.get(done)
    finally:
        ray.shutdown()


def _caught(work: Callable[[J], R], job: J) -> R | InputError:
    try:
        return work(job)
    except InputError as error:
        return error
