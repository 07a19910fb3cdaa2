"""Sealed folders: a manifest with sizes and SHA-256 checksums shows whether a folder is complete and undamaged."""

import json
from collections.abc import Collection
from pathlib import Path

from gato_dist.errors import READ_ERRORS, InputError
from gato_dist.utils.files import fsync, sha256_of
from gato_dist.utils.typed_json import to_json

MANIFEST = "manifest.json"
FORMAT = "gato_dist checkpoint 1"


def seal(folder: Path) -> None:
    """Writes the manifest of the files in a folder, and flushes all of them to the disk."""
    entries = {
        path.name: {"bytes": path.stat().st_size, "sha256": sha256_of(path)} for path in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_text(to_json({"format": FORMAT, "files": entries}, indent=1), "utf-8")
    for name in [*entries, MANIFEST]:
        fsync(folder / name)
    fsync(folder)


def verify(folder: Path, unread: Collection[str] = ()) -> None:
    """Checks that a folder's files are as they were when it was sealed.

    Args:
        folder: folder with a manifest.
        unread: names of files that the caller does not need and that are not checked.

    Raises:
        InputError: if the manifest or a file is missing or damaged; the message names it and says what is wrong.
    """
    for name, (size, checksum) in _entries(folder).items():
        if name in unread:
            continue
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: missing")
        if path.stat().st_size != size:
            raise InputError(f"{path}: damaged: it has {path.stat().st_size} bytes, not {size}")
        if sha256_of(path) != checksum:
            raise InputError(f"{path}: damaged: its bytes are not those that were written")


def _entries(folder: Path) -> dict[str, tuple[int, str]]:
    """Size in bytes and checksum of each file, by name."""
    path = folder / MANIFEST
    if not path.is_file():
        hint = "give a folder such as runs/NAME/checkpoints/step-00001000, or an exported .safetensors file"
        raise InputError(f"{folder}: not a checkpoint, or not one of this version: no {MANIFEST} ({hint})")
    try:
        manifest = json.loads(path.read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise InputError(f"{path}: its format is {manifest['format']!r}; this version reads {FORMAT!r}")
        return {Path(name).name: (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged ({error.__class__.__name__})") from error
