"""Locks on what a command writes: of two commands with the same target, the second is refused.

A lock is an advisory `flock` on a small file, which the system releases when the process ends, however it ends.
Programs that the process starts do not inherit it. On NFS it holds between machines as far as the server keeps locks.
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

from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.utils.files import is_full, naming
from gato_dist.utils.typed_json import to_json

LOCK = ".lock"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
RETRY_SECONDS = 0.05
NAMING_SECONDS = 1.0  # a holder writes its name right after it has the lock


@contextmanager
def hold_folder(folder: Path) -> Iterator[None]:
    """Makes this process the only writer of a folder; the folder is made if missing, and removed if it stays empty.

    Raises InputError, which names the process that holds the lock, and where the folder cannot be written to.
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
    """Makes this process the only writer of a path: a file, or a folder that is renamed into place once it is complete.

    The lock lies beside it, so its parent folder must exist. patience: seconds to wait for another process. Raises
    InputError as `hold_folder`.
    """
    with _hold(path.with_name(f".{path.name}{LOCK}"), path, patience, parents=False):
        yield


def is_unused(folder: Path) -> bool:
    """Whether a folder is missing, or holds at most a lock."""
    return not folder.exists() or (folder.is_dir() and all(path.name == LOCK for path in folder.iterdir()))


@contextmanager
def _hold(lock: Path, target: Path, patience: float, parents: bool) -> Iterator[None]:
    deadline = time.monotonic() + patience
    while (descriptor := _try(lock, target, parents)) is None:
        if time.monotonic() >= deadline:
            raise InputError(f"{target}: {_holder(lock)} writes it; wait until that ends, or choose another place")
        time.sleep(RETRY_SECONDS)
    try:
        yield
    finally:
        # Removed before it is released: afterwards it may be another's.
        if _is_there(lock, descriptor):
            lock.unlink(missing_ok=True)
        os.close(descriptor)


def _try(lock: Path, target: Path, parents: bool) -> int | None:
    """The open lock file, with this process's name in it; None if another process holds it."""
    try:
        with naming(target):
            while True:
                if parents:
                    lock.parent.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
                try:
                    if not _flock(descriptor, target):
                        return None
                    if _is_there(lock, descriptor):
                        os.ftruncate(descriptor, 0)
                        os.write(descriptor, to_json(_own_name()).encode())
                        taken, descriptor = descriptor, -1
                        return taken
                finally:
                    if descriptor >= 0:
                        os.close(descriptor)
    except OSError as error:
        if is_full(error):
            raise
        raise InputError(f"{target}: cannot be written to: {brief(error)}") from error


def _flock(descriptor: int, target: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(f"gato-dist: {target}: its file system has no locks; let no other command write it", file=sys.stderr)
    return True


def _is_there(lock: Path, descriptor: int) -> bool:
    """Whether the locked file is still the one under its name: its last holder may have removed it meanwhile."""
    try:
        return os.path.samestat(os.stat(lock), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _own_name() -> dict[str, int | str]:
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "start": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
    }


def _holder(lock: Path) -> str:
    deadline = time.monotonic() + NAMING_SECONDS
    while True:
        with contextlib.suppress(*DAMAGED):
            known = json.loads(lock.read_text("utf-8"))
            return f"process {known['process']} on {known['host']}, since {known['start']},"
        if time.monotonic() >= deadline:
            return "another process"
        time.sleep(RETRY_SECONDS)
