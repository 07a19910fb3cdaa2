"""Runs jobs that belong to tasks: collects failures by task, and shows how many episodes are done."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from gato_dist.errors import InputError
from gato_dist.supervisor.jobs import JobFailed, run_jobs


class TaskJob(Protocol):
    """A job of one task."""

    @property
    def task(self) -> str: ...


class EpisodeJob(TaskJob, Protocol):
    """A job that plays one episode per seed."""

    @property
    def seeds(self) -> Sequence[int]: ...


T = TypeVar("T", bound=TaskJob)
E = TypeVar("E", bound=EpisodeJob)
R = TypeVar("R")


class TaskFailures:
    """The tasks that failed, each with its first error. `task in failures` asks whether a task failed."""

    def __init__(self) -> None:
        self._errors: dict[str, InputError | JobFailed] = {}

    def __contains__(self, task: str) -> bool:
        return task in self._errors

    def add(self, task: str, error: InputError | JobFailed) -> None:
        """Records an error of a task, unless the task has one already."""
        self._errors.setdefault(task, error)

    def raise_if_any(self, task_count: int, not_done: str) -> None:
        """Raises one error that quotes the errors of all tasks that failed.

        Args:
            task_count: number of all tasks, for the message.
            not_done: what did not happen, such as "not scored".

        Raises:
            InputError: if every error is the user's mistake.
            JobFailed: if any error is not.
        """
        if not self._errors:
            return
        errors = self._errors.values()
        text = f"{len(errors)} of {task_count} tasks {not_done}: {'; '.join(map(str, errors))}"
        raise InputError(text) if all(isinstance(error, InputError) for error in errors) else JobFailed(text)


def run_task_jobs(
    work: Callable[[T], R],
    next_job: Callable[[], T | None],
    failures: TaskFailures,
    *,
    workers: int | None,
    address: str | None = None,
) -> Iterator[tuple[T, R | None]]:
    """Runs jobs as `run_jobs` does, and records the errors of jobs in `failures`.

    Returns:
        An iterator of (job, result) as jobs end. The result is None if the job failed.

    Raises:
        InputError: at once, if no Ray cluster answers at `address`.
    """
    results = run_jobs(work, next_job, workers=workers, address=address)
    return ((job, _recorded(job, result, failures)) for job, result in results)


def _recorded(job: TaskJob, result: R | InputError | JobFailed, failures: TaskFailures) -> R | None:
    if isinstance(result, InputError | JobFailed):
        failures.add(job.task, result)
        return None
    return result


def run_episode_jobs(
    work: Callable[[E], R], jobs: Sequence[E], failures: TaskFailures, *, workers: int, console: Console
) -> Iterator[tuple[E, R | None]]:
    """Runs a known list of jobs. On a terminal, a bar shows how many of their episodes are done.

    Yields:
        (job, result) as jobs end. The result is None if the job failed; its error is in `failures`.
    """
    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("episodes", total=sum(len(job.seeds) for job in jobs))
        for job, result in run_task_jobs(work, partial(next, iter(jobs), None), failures, workers=workers):
            progress.advance(bar, len(job.seeds))
            yield job, result
