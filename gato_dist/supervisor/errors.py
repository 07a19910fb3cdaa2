"""Errors of a run's other processes: what they raised, and one line that explains it to the user."""

from ray.exceptions import ObjectStoreFullError, OutOfDiskError, OutOfMemoryError, RayTaskError

from gato_dist.errors import InputError, InvalidStepError

LONGEST_LINE = 300
OUT_OF_MEMORY = (
    "its machine is short of memory, and Ray ended it: lower num_envs, actors.copies, replay.size or learner.batch, or "
    "spread the run over more machines"
)
SHORTAGES: dict[type[BaseException], str] = {
    OutOfMemoryError: OUT_OF_MEMORY,
    OutOfDiskError: "Ray's object store is full and so is the disk that it spills to: free some of /tmp, or give a "
    "larger /dev/shm",
    ObjectStoreFullError: "Ray's object store is full: give a larger /dev/shm (docker run --shm-size), or a smaller "
    "model",
}


class RunFailed(RuntimeError):
    """A process of the run failed for good, or Ray did not start."""


def cause_of(error: BaseException) -> BaseException:
    """Returns what the other process raised, if Ray wrapped it; else the error itself."""
    return error.cause if isinstance(error, RayTaskError) else error


def input_error(error: BaseException) -> InputError | None:
    """Returns the InputError that another process raised; None if it raised anything else.

    A InvalidStepError does not count, because it depends on the environment's state: the actor is restarted.
    """
    cause = cause_of(error)
    return cause if isinstance(cause, InputError) and not isinstance(cause, InvalidStepError) else None


def explain(error: BaseException) -> str:
    """Returns one line for the user: advice if a machine ran out of memory or disk, else the error's last line."""
    cause = cause_of(error)
    for kind, advice in SHORTAGES.items():
        if isinstance(cause, kind):
            return f"{advice}; go on with --resume"
    return last_line(error)


def last_line(error: BaseException) -> str:
    """Returns the last line of an error that quotes a traceback: the exception itself."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1][:LONGEST_LINE]
