"""What whole files need: sums of their bytes, a way to the disk, and a word where there is no room on it."""

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
ROOM = "no space left on its disk; free some and go on (train: with --resume), nothing whole is lost"


def suffix_of(path: Path) -> str:
    """The end of a file's name in small letters, such as `.jsonl`: cameras and Windows write others."""
    return path.suffix.lower()


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Brings a file's bytes, or a folder's names, to the disk: a name must not outlive what it names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_full(error: BaseException) -> bool:
    """Whether a disk without room, or a quota, raised it."""
    # Libraries that are no Python quote the system's error, by its number or, as TensorFlow's files, in its words.
    quoted = re.search(r"(?:os error|[Ee]rrno) (\d+)", str(error))
    number = int(quoted[1]) if quoted else getattr(error, "errno", None)
    return number in FULL or any(words in str(error) for words in map(os.strerror, (errno.ENOSPC, errno.EDQUOT)))


def why_unwritten(error: BaseException) -> str:
    """What an error of writing says; of a full disk, what to do."""
    return ROOM if is_full(error) else " ".join(str(error).split())


@contextmanager
def naming(path: object) -> Iterator[None]:
    """Names the file in what writing it raises: unlike opening, writing to a full disk tells none."""
    try:
        yield
    except Exception as error:
        if is_full(error):
            raise OSError(f"{path}: {ROOM}") from error
        raise


def append_line(path: Path, line: str) -> None:
    """All of a line, or nothing. Raises OSError, which names the file."""
    rest = line.encode()
    # Without a buffer, which would be written again as the file is closed.
    with naming(path), path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while rest:
                rest = rest[file.write(rest) :]
        except OSError:
            file.truncate(before)
            raise


def replace_text(path: Path, text: str) -> None:
    """Writes a file under a temporary name first. Raises OSError, which names it; what stood there stays then."""
    partial = path.with_name(f"{path.name}.partial")
    with naming(path):
        try:
            partial.write_text(text, "utf-8")
            partial.rename(path)
        finally:
            partial.unlink(missing_ok=True)


def cut_torn_line(path: Path) -> None:
    """Removes what stands after a file's last newline: a line that was being written as its machine went down.

    And the file, where that is all.
    """
    if not path.is_file() or (content := path.read_bytes()).endswith(b"\n"):
        return
    if kept := content.rfind(b"\n") + 1:
        os.truncate(path, kept)
    else:
        path.unlink()
