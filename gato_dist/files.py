"""What whole files need: sums of their bytes, and a way to the disk."""

import hashlib
import os
from pathlib import Path


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
