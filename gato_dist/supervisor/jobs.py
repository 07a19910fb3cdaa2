"""Runs many independent jobs, one after the other or as Ray tasks. A job that fails does not end the others."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gato_dist.config.process_sections import RayConfig
from gato_dist.errors import InputError, brief
from gato_dist.utils.signals import interrupt_on_terminate

J = TypeVar("J")
R = TypeVar("R")
MAX_RETRIES = 3  # of a job whose process died


class JobFailed(RuntimeError):
    """A job raised an error that is not the user's mistake, or its process died too often."""


def run_jobs(
    work: Callable[[J], R], next_job: Callable[[], J | None], *, workers: int | None, address: str | None = None
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    """Runs jobs and yields each with its result as soon as it ends.

    Args:
        work: runs one job. With Ray, it runs in another process.
        next_job: returns the next job, or None if no job can start now. It is called again after every job that ends,
            so that new jobs may depend on earlier results.
        workers: how many jobs run at once. None: one job per CPU of the cluster, or one job at a time without Ray.
        address: address of a Ray cluster. None: this machine.

    Returns:
        An iterator of (job, result). The result is an error if the job failed.

    Raises:
        InputError: at once, if no Ray cluster answers at `address`.
    """
    if address or (workers or 1) > 1:
        from gato_dist.supervisor.ray_init import connect

        connect(RayConfig(address=address), workers or 1)
        # Ray installs a SIGTERM handler that only exits.
        interrupt_on_terminate()
        return _run_in_ray(work, next_job, workers)
    return _run_here(work, next_job)


def _run_here(
    work: Callable[[J], R], next_job: Callable[[], J | None]
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    while (job := next_job()) is not None:
        yield job, run_job(work, job)


def _run_in_ray(
    work: Callable[[J], R], next_job: Callable[[], J | None], workers: int | None
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    import ray

    remote: Any = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(run_job)
    running: dict[Any, tuple[J, int]] = {}
    retries: list[tuple[J, int]] = []
    try:
        limit = workers or _cluster_cpus()
        while True:
            while len(running) < limit:
                job, deaths = retries.pop() if retries else (next_job(), 0)
                if job is None:
                    break
                running[remote.remote(work, job)] = job, deaths
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            job, deaths = running.pop(done)
            result = _fetch_result(done, job, deaths)
            if result is None:
                retries.append((job, deaths + 1))
            else:
                yield job, result[0]
    finally:
        ray.shutdown()


def _cluster_cpus() -> int:
    import ray

    cpus = int(ray.cluster_resources().get("CPU", 0))
    if not cpus:
        print("gato-dist: no node of the cluster offers a CPU: waiting for one that joins", file=sys.stderr)
    return max(cpus, 1)


def _fetch_result(reference: Any, job: J, deaths: int) -> tuple[Any] | None:
    """Returns a job's result in a tuple, or None if its process died and the job should run again."""
    import ray
    from ray.exceptions import RayError, RayTaskError

    try:
        return (ray.get(reference),)
    except RayTaskError as error:
        # The process is alive, but its result cannot be pickled, for example. Another attempt would fail alike.
        return (_failed(job, error.cause or error),)
    except RayError as error:
        if deaths < MAX_RETRIES:
            return None
        return (JobFailed(f"{job}: its process died {deaths + 1} times ({brief(error)})"),)


def run_job(work: Callable[[J], R], job: J) -> R | InputError | JobFailed:
    """Runs one job. Errors are returned, because one bad job must not end days of other jobs."""
    try:
        return work(job)
    except InputError as error:
        return error
    except Exception as error:
        return _failed(job, error)


def _failed(job: Any, error: BaseException) -> JobFailed:
    return JobFailed(f"{job}: {type(error).__name__}: {brief(error)}")
