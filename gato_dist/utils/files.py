"""File helpers: atomic writes, checksums, flushing to disk, and clear errors if the disk is full."""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gato_dist.errors import brief

FULL_DISK_CODES = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FULL_DISK_ADVICE = "no space left on its disk; free some and go on (train: with --resume), nothing whole is lost"


def lowercase_suffix(path: Path) -> str:
    """Returns the file name's suffix in lower case, such as `.jsonl`: some cameras and programs write `.JPG`."""
    return path.suffix.lower()


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 checksum of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def fsync(path: Path) -> None:
    """Flushes a file's contents, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path, durable: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path`. It replaces `path` if the block succeeds, and is removed otherwise.

    Only one process at a time may write the same path.

    Args:
        path: final path of the file.
        durable: flush the contents to the disk before the replacement, so that the name never outlives its contents.

    Raises:
        OSError: if the disk is full; the message names `path`. The previous file stays.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    with explain_full_disk(path):
        try:
            yield partial
            if durable:
                fsync(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str, durable: bool = False) -> None:
    """Replaces a file's contents completely or not at all.

    Args:
        path: file to write.
        text: new contents, written as UTF-8.
        durable: see `atomic_path`.

    Raises:
        OSError: as `atomic_path`.
    """
    with atomic_path(path, durable) as partial:
        partial.write_text(text, "utf-8")


def append_line(path: Path, line: str) -> None:
    """Appends a line to a file completely or not at all.

    Raises:
        OSError: if the line cannot be written; the message names the file.
    """
    rest = line.encode()
    # Unbuffered: a buffer would be written again when the file is closed.
    with explain_full_disk(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(before)
            raise


def remove_partial_last_line(path: Path) -> None:
    """Removes the text after a file's last newline: a line that was cut short when the machine went down.

    A file without any complete line is deleted. A missing file is left alone.
    """
    if not path.is_file() or (content := path.read_bytes()).endswith(b"\n"):
        return
    if complete := content.rfind(b"\n") + 1:
        os.truncate(path, complete)
    else:
        path.unlink()


def is_disk_full(error: BaseException) -> bool:
    """Returns whether an error was caused by a full disk or an exceeded quota."""
    # Native libraries quote the system's error, by number or, as TensorFlow does, by its text.
    quoted = re.search(r"(?:os error|[Ee]rrno) (\d+)", str(error))
    number = int(quoted[1]) if quoted else getattr(error, "errno", None)
    texts = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), FULL_DISK_ADVICE)
    return number in FULL_DISK_CODES or any(text in str(error) for text in texts)


def write_error_text(error: BaseException) -> str:
    """Returns why a file could not be written, on one line; for a full disk, what to do about it."""
    return FULL_DISK_ADVICE if is_disk_full(error) else brief(error, limit=None)


@contextmanager
def explain_full_disk(path: object) -> Iterator[None]:
    """Replaces full-disk errors of the block by an OSError that names `path` and says what to do.

    Unlike errors of opening a file, errors of writing one do not name it.
    """
    try:
        yield
    except Exception as error:
        if is_disk_full(error):
            raise OSError(f"{path}: {FULL_DISK_ADVICE}") from error
        raise
