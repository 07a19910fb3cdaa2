"""Runs many independent jobs, one by one or in Ray tasks; a job that fails does not end the others."""

import sys
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from gato_dist.config.process_sections import RayConfig
from gato_dist.errors import InputError, brief
from gato_dist.utils.signals import interrupt_on_terminate

J = TypeVar("J")
R = TypeVar("R")
RETRIES = 3  # of a job whose process died


class JobFailed(RuntimeError):
    """A job that ended in an error which is not the user's, or whose process died again and again."""


def run_jobs(
    work: Callable[[J], R], take: Callable[[], J | None], workers: int | None, address: str | None = None
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    """Each job with what `work` returned, or why it did not, as they end.

    take: the next job, None where there is none; asked again whenever one has ended, so that jobs may depend on what
    others returned. workers: jobs at once; None: as many as the cluster has CPUs, one where there is none.
    address: of a Ray cluster; none: this machine. Raises InputError where no cluster answers there, at once.
    """
    if address or (workers or 1) > 1:
        from gato_dist.supervisor.ray_init import connect

        connect(RayConfig(address=address), workers or 1)
        # Ray sets a handler of its own, which only exits.
        interrupt_on_terminate()
        return _in_ray(work, take, workers)
    return _here(work, take)


def _here(work: Callable[[J], R], take: Callable[[], J | None]) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    while (job := take()) is not None:
        yield job, _caught(work, job)


def failure(failed: dict[str, InputError | JobFailed], what: str) -> InputError | JobFailed:
    """One error of many, by task: the user's to mend only where each of them is."""
    said = f"{what}: {'; '.join(map(str, failed.values()))}"
    return InputError(said) if all(isinstance(error, InputError) for error in failed.values()) else JobFailed(said)


def _in_ray(
    work: Callable[[J], R], take: Callable[[], J | None], workers: int | None
) -> Iterator[tuple[J, R | InputError | JobFailed]]:
    import ray
    from ray.exceptions import RayError

    remote: Any = ray.remote(num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")(_caught)
    running: dict[Any, tuple[J, int]] = {}
    again: list[tuple[J, int]] = []
    try:
        offered = int(ray.cluster_resources().get("CPU", 0))
        if not offered:
            print("gato-dist: no node of the cluster offers a CPU: waiting for one that joins", file=sys.stderr)
        most = workers or max(offered, 1)
        while True:
            while len(running) < most:
                job, deaths = again.pop() if again else (take(), 0)
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
                    again.append((job, deaths + 1))
                    continue
                result = JobFailed(f"{job}: its process died {deaths + 1} times ({brief(error, limit=300)})")
            yield job, result
    finally:
        ray.shutdown()


def _caught(work: Callable[[J], R], job: J) -> R | InputError | JobFailed:
    try:
        return work(job)
    except InputError as error:
        return error
    except Exception as error:
        # Days of others' work must not end with it.
        return JobFailed(f"{job}: {type(error).__name__}: {brief(error, limit=300)}")
