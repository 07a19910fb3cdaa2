"""What a machine runs out of, said in a line with what to do about it."""

import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gato_dist.supervisor.ray_init import last_line
from gato_dist.utils.files import is_disk_full

NO_MEMORY = (
    "its machine is short of memory, and Ray ended it: lower num_envs, actors.copies, replay.size or learner.batch, or "
    "spread the run over more machines"
)
KNOWN = (
    (r"running low on memory|ray\.exceptions\.OutOfMemoryError", NO_MEMORY),
    (
        r"OutOfDiskError",
        "Ray's object store is full and so is the disk that it spills to: free some of /tmp, or give a larger /dev/shm",
    ),
    (
        r"ObjectStoreFullError",
        "Ray's object store is full: give a larger /dev/shm (docker run --shm-size), or a smaller model",
    ),
)


def explain(error: BaseException) -> str:
    """What an error of another process means; its last line, where it is none of these."""
    for pattern, meaning in KNOWN:
        if re.search(pattern, f"{type(error).__name__} {error}"):
            return f"{meaning}; go on with --resume"
    return last_line(error)


def store_news(store: int, folder: str = "/dev/shm") -> list[str]:
    """A line where Ray's object store, of so many bytes, has no room in shared memory: Ray then takes the disk."""
    free = shutil.disk_usage(folder).free
    if free >= store:
        return []
    return [
        f"{folder} has {free / 2**20:.0f} MiB free, Ray's object store wants {store / 2**20:.0f}: it lies on the disk "
        f"now, where weights travel slowly; make it larger (docker run --shm-size=4g)"
    ]


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Keeps threads that find no room on a disk from printing a traceback: whoever hands them work tells of it."""
    before = threading.excepthook

    def hook(what: threading.ExceptHookArgs) -> None:
        if what.exc_value is None or not is_disk_full(what.exc_value):
            before(what)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
