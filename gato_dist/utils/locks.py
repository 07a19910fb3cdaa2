"""Locks on the files and folders that a command writes: a second command with the same target is refused.

A lock is an advisory `flock` on a small file. The system releases it when the process ends, even by a kill. Programs
that the process starts do not inherit it. On NFS it works between machines if the server supports locks.
"""

import contextlib
import errno
import fcntl
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.utils.files import explain_full_disk, is_disk_full
from gato_dist.utils.typed_json import to_json

LOCK = ".lock"
NOT_SUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
RETRY_SECONDS = 0.05
HOLDER_SECONDS = 1.0  # how long to wait for the holder of a lock to write its name into it


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Makes this process the only writer of a folder.

    A missing folder is created, and removed at the end if it is still empty.

    Args:
        folder: the folder to lock.

    Raises:
        InputError: if another process holds the lock (the message names it), or the folder cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; give a folder")
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        with _hold(folder / LOCK, folder, patience=0.0, parents=True):
            yield
    finally:
        with contextlib.suppress(OSError):
            for made in missing:
                made.rmdir()


@contextmanager
def hold_file(path: Path, patience: float = 0.0) -> Iterator[None]:
    """Makes this process the only writer of a path: a file, or a folder that is renamed into place when complete.

    Args:
        path: the path to lock. Its folder must exist, because the lock file is written there.
        patience: seconds to wait for another process that holds the lock.

    Raises:
        InputError: as `hold_folder`.
    """
    with _hold(path.with_name(f".{path.name}{LOCK}"), path, patience, parents=False):
        yield


def is_unused(folder: Path) -> bool:
    """Returns whether a folder is missing, or empty except for a lock."""
    return not folder.exists() or (folder.is_dir() and all(path.name == LOCK for path in folder.iterdir()))


@contextmanager
def _hold(lock: Path, target: Path, patience: float, parents: bool) -> Iterator[None]:
    deadline = time.monotonic() + patience
    while (descriptor := _try_lock(lock, target, parents)) is None:
        if time.monotonic() >= deadline:
            raise InputError(f"{target}: {_holder(lock)} writes it; wait until that ends, or choose another place")
        time.sleep(RETRY_SECONDS)
    try:
        yield
    finally:
        # Removed before the release: afterwards another process may hold it.
        if _is_current(lock, descriptor):
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _try_lock(lock: Path, target: Path, parents: bool) -> int | None:
    """Returns the descriptor of the lock file, with this process's name in it; None if another process holds it."""
    try:
        with explain_full_disk(target):
            while True:
                if parents:
                    lock.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    if not _flock(descriptor, target):
                        return None
                    if _is_current(lock, descriptor):
                        os.ftruncate(descriptor, 0)
                        os.write(descriptor, to_json(_this_process()).encode())
                        taken, descriptor = descriptor, -1
                        return taken
                finally:
                    if descriptor >= 0:
                        os.close(descriptor)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise InputError(f"{target}: cannot be written to: {brief(error)}") from error


def _flock(descriptor: int, target: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        print(f"gato-dist: {target}: its file system has no locks; let no other command write it", file=sys.stderr)
    return True


def _is_current(lock: Path, descriptor: int) -> bool:
    """Whether the locked file still has its name: its last holder may have removed it in the meantime."""
    try:
        return os.path.samestat(os.stat(lock), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _this_process() -> dict[str, int | str]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "start": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


def _holder(lock: Path) -> str:
    deadline = time.monotonic() + HOLDER_SECONDS
    while True:
        with contextlib.suppress(*READ_ERRORS):
            known = json.loads(lock.read_text("utf-8"))
            return f"process {known['process']} on {known['host']}, since {known['start']},"
        if time.monotonic() >= deadline:
            return "another process"
        time.sleep(RETRY_SECONDS)
