"""Jobs of tasks: which tasks failed, in one error, and the number of episodes that are done."""

from dataclasses import dataclass
from functools import partial

import pytest
from rich.console import Console

from gato_dist.errors import InputError
from gato_dist.supervisor.jobs import JobFailed
from gato_dist.supervisor.task_jobs import TaskFailures, run_episode_jobs, run_task_jobs


@dataclass(frozen=True)
class Job:
    task: str
    seeds: list[int]

    def __str__(self) -> str:
        return self.task


def play(job: Job) -> int:
    if job.task == "wrong":
        raise InputError(f"wrong: no seed {job.seeds[0]}")
    return sum(job.seeds) // len(job.seeds)


JOBS = [Job("good", [1, 3]), Job("wrong", [4]), Job("wrong", [5]), Job("empty", []), Job("good", [6])]


def test_failed_jobs_have_no_result_and_a_task_keeps_its_first_error():
    failures = TaskFailures()
    results = run_task_jobs(play, partial(next, iter(JOBS), None), failures, workers=1)
    assert [(job.task, result) for job, result in results] == [
        ("good", 2), ("wrong", None), ("wrong", None), ("empty", None), ("good", 6),
    ]  # fmt: skip
    assert [task in failures for task in ("good", "wrong", "empty")] == [False, True, True]
    with pytest.raises(JobFailed, match=r"^2 of 3 tasks not played: wrong: no seed 4; empty: ZeroDivisionError: "):
        failures.raise_if_any(3, "not played")


@pytest.mark.parametrize(("errors", "kind"), [([InputError], InputError), ([InputError, JobFailed], JobFailed)])
def test_the_error_of_all_tasks_is_the_users_only_if_each_error_is(errors, kind):
    failures = TaskFailures()
    for number, error in enumerate(errors):
        failures.add(str(number), error(f"task {number}"))
    with pytest.raises((InputError, JobFailed), match=r" of 9 tasks not collected: task 0") as caught:
        failures.raise_if_any(9, "not collected")
    assert caught.type is kind


def test_without_failures_nothing_is_raised():
    TaskFailures().raise_if_any(1, "not played")


def test_a_bar_counts_episodes_of_failed_jobs_too():
    console, failures = Console(force_terminal=True, width=100, record=True), TaskFailures()
    assert len(list(run_episode_jobs(play, JOBS, failures, workers=1, console=console))) == len(JOBS)
    assert "5/5" in console.export_text()
