"""Independent jobs: failures do not end other jobs, and a job whose process died is done again."""

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from gato_dist.errors import InputError
from gato_dist.supervisor.jobs import RETRIES, JobFailed, failure, run_jobs


def test_a_failed_job_does_not_end_the_others_and_jobs_may_depend_on_results():
    seen: list[int] = []

    def take() -> int | None:
        return len(seen) if len(seen) < 4 else None

    def work(job: int) -> int:
        if job == 1:
            raise InputError("one is wrong")
        return 10 // (job - 2)

    results = []
    for job, result in run_jobs(work, take, 1):
        seen.append(job)
        results.append(result)
    assert (results[0], str(results[1]), results[3]) == (-5, "one is wrong", 10)
    assert isinstance(results[1], InputError)
    assert isinstance(results[2], JobFailed)
    assert "2: ZeroDivisionError" in str(results[2])


def test_a_job_whose_process_died_is_done_again_and_fails_after_the_last_retry(tmp_path):
    def work(job: str) -> int:
        """Dies the first time as `once`, every time as `always`; returns how often it was tried."""
        (Path(tmp_path) / f"{job}.{os.getpid()}").touch()
        tried = len(list(Path(tmp_path).glob(f"{job}.*")))
        if job == "always" or (job == "once" and tried == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return tried

    jobs = ["well", "once", "always", "last"]
    results = dict(run_jobs(work, partial(next, iter(jobs), None), 2))
    assert (results["once"], results.keys()) == (2, set(jobs))
    assert isinstance(results["always"], JobFailed)
    assert f"always: its process died {RETRIES + 1} times" in str(results["always"])


@pytest.mark.parametrize(("errors", "kind"), [([InputError], InputError), ([InputError, JobFailed], JobFailed)])
def test_many_failures_are_an_input_error_only_if_each_of_them_is(errors, kind):
    error = failure({str(i): made(f"task {i}") for i, made in enumerate(errors)}, "not collected")
    assert type(error) is kind
    assert str(error).startswith("not collected: task 0")
