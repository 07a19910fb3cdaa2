"""Jobs run one after the other or as Ray tasks: results, errors, and processes that die."""

import os
import signal
import threading
from functools import partial
from pathlib import Path

from gato_dist.errors import InputError
from gato_dist.supervisor.jobs import MAX_RETRIES, JobFailed, run_jobs


def test_a_failed_job_ends_no_other_and_results_may_decide_the_next_job():
    ended: list[int] = []

    def next_job() -> int | None:
        return len(ended) if len(ended) < 4 else None

    def work(job: int) -> int:
        if job == 1:
            raise InputError("one is wrong")
        return 10 // (job - 2)

    results = []
    for job, result in run_jobs(work, next_job, workers=1):
        ended.append(job)
        results.append(result)
    assert (results[0], str(results[1]), results[3]) == (-5, "one is wrong", 10)
    assert isinstance(results[1], InputError)
    assert isinstance(results[2], JobFailed)
    assert "2: ZeroDivisionError" in str(results[2])


def test_ray_repeats_a_job_whose_process_died_and_reports_one_that_always_dies(tmp_path):
    def work(job: str) -> object:
        """Dies at the first attempt of "once" and at every attempt of "always"; returns the number of attempts."""
        (Path(tmp_path) / f"{job}.{os.getpid()}").touch()
        attempts = len(list(Path(tmp_path).glob(f"{job}.*")))
        if job == "always" or (job == "once" and attempts == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        return threading.Lock() if job == "cannot be sent" else attempts

    jobs = ["well", "once", "always", "cannot be sent", "last"]
    results = dict(run_jobs(work, partial(next, iter(jobs), None), workers=2))
    assert (results["once"], results["last"], results.keys()) == (2, 1, set(jobs))
    assert isinstance(results["always"], JobFailed)
    assert f"always: its process died {MAX_RETRIES + 1} times" in str(results["always"])
    assert isinstance(results["cannot be sent"], JobFailed)
    assert str(results["cannot be sent"]).startswith("cannot be sent: TypeError: ")
    # An error that left the process alive is not repeated.
    assert len(list(tmp_path.glob("cannot be sent.*"))) == 1
