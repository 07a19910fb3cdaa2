"""What makes a folder whole: a manifest of sizes and SHA-256 sums, written last; all of it on the disk before."""

import json
from collections.abc import Collection
from pathlib import Path

from gato_dist.errors import DAMAGED, InputError
from gato_dist.utils.files import digest, flush
from gato_dist.utils.typed_json import to_json

MANIFEST = "manifest.json"
FORMAT = "gato_dist checkpoint 1"


def seal(folder: Path) -> None:
    """Writes the manifest of the files in `folder`, and brings them and it to the disk."""
    entries = {path.name: {"bytes": path.stat().st_size, "sha256": digest(path)} for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(to_json({"format": FORMAT, "files": entries}, indent=1), "utf-8")
    for name in [*entries, MANIFEST]:
        flush(folder / name)
    flush(folder)


def verify(folder: Path, unread: Collection[str] = ()) -> None:
    """Raises InputError, which names the file and what is wrong with it, where `folder` is not as it was sealed.

    unread: files that do not matter here.
    """
    for name, (size, sum_) in _entries(folder).items():
        if name in unread:
            continue
        path = folder / name
        if not path.is_file():
            raise InputError(f"{path}: missing")
        if path.stat().st_size != size:
            raise InputError(f"{path}: damaged: it has {path.stat().st_size} bytes, not {size}")
        if digest(path) != sum_:
            raise InputError(f"{path}: damaged: its bytes are not those that were written")


def _entries(folder: Path) -> dict[str, tuple[int, str]]:
    path = folder / MANIFEST
    if not path.is_file():
        hint = "give a folder such as runs/NAME/checkpoints/step-00001000, or an exported .safetensors file"
        raise InputError(f"{folder}: not a checkpoint, or not one of this version: no {MANIFEST} ({hint})")
    try:
        manifest = json.loads(path.read_text("utf-8"))
        if manifest["format"] != FORMAT:
            raise InputError(f"{path}: its format is {manifest['format']!r}; this version reads {FORMAT!r}")
        return {Path(name).name: (entry["bytes"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except DAMAGED as error:
        raise InputError(f"{path}: damaged ({error.__class__.__name__})") from error
