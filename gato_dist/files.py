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
