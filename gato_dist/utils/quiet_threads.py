"""Keeps background threads from printing a traceback if the disk is full."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gato_dist.utils.files import is_disk_full


@contextmanager
def quiet_threads() -> Iterator[None]:
    """Within this context, threads that fail because a disk is full print nothing: their callers report the error."""
    before = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is None or not is_disk_full(arguments.exc_value):
            before(arguments)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before
