"""Runs many independent jobs, in this process or in Ray tasks; a job that fails does not end the others."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gato_dist.config.sections import RayConfig
from gato_dist.errors import InputError, brief
from gato_dist.utils.signals import interrupt_on_terminate

J = TypeVar("J")
R = TypeVar("R")
RETRIES = 3  # of a job whose process died


class JobFailed(RuntimeError):
    """A job raised something else than an InputError, or its process died again and again."""


def run_jobs(
    work: Callable[[J], R], take: Callable[[], J | None], workers: int | None, address: str | None = None
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    """Yields each job with its result or its error, in the order in which the jobs end.

    Args:
        work: what to do with a job.
        take: returns the next job, or None if there is none at present. It is called again whenever a job has ended,
            so that a job may depend on the results of others.
        workers: how many jobs run at once; None for as many as the cluster has CPUs, or one without a cluster.
        address: of a Ray cluster; None for this machine.

    Raises:
        InputError: at once, if no cluster answers at the address.
    """
    if address or (workers or 1) > 1:
        from gato_dist.supervisor.ray_init import connect

        connect(RayConfig(address=address), workers or 1)
        # Ray's own signal handler would only exit.
        interrupt_on_terminate()
        return _in_ray(work, take, workers)
    return _here(work, take)


def _here(work: Callable[[J], R], take: Callable[[], J | None]) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    while (job := take()) is not None:
        yield job, _caught(work, job)


def failure(failed: dict[str, InputError | JobFailed], what: str) -> InputError | JobFailed:
    """Returns one error for many: an InputError if each of them is one, else a JobFailed.

    Args:
        failed: errors by task.
        what: first words of the message.
    """
    message = f"{what}: {'; '.join(map(str, failed.values()))}"
    kind = InputError if all(isinstance(error, InputError) for error in failed.values()) else JobFailed
    return kind(message)


def _in_ray(
    work: Callable[[J], R], take: Callable[[], J | None], workers: int | None
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    import ray
    from ray.exceptions import RayError

    remote: Any = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_caught)
    running: dict[Any, tuple[J, int]] = {}
    retries: list[tuple[J, int]] = []
    try:
        offered = int(ray.cluster_resources().get("CPU", 0))
        if not offered:
            print("gato-dist: no node of the cluster offers a CPU: waiting for one that joins", file=sys.stderr)
        limit = workers or max(offered, 1)
        while True:
            while len(running) < limit:
                job, deaths = retries.pop() if retries else (take(), 0)
                if job is None:
                    break
                running[remote.remote(work, job)] = job, deaths
            if not running:
                return
            (done,), _ = ray.wait(list(running), num_returns=1)
            job, deaths = running.pop(done)
            try:
                result = ray.get(done)
            except RayError as error:
                if deaths < RETRIES:
                    retries.append((job, deaths + 1))
                    continue
                result = JobFailed(f"{job}: its process died {deaths + 1} times ({brief(error)})")
            yield job, result
    finally:
        ray.shutdown()


def _caught(work: Callable[[J], R], job: J) -> R | InputError | JobFailed:
    try:
        return work(job)
    except InputError as error:
        return error
    except Exception as error:
        # Other jobs, which may have run for days, must not end with this one.
        return JobFailed(f"{job}: {type(error).__name__}: {brief(error)}")
