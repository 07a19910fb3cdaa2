"""Names of files and folders for tasks, valid on every file system and for every tool."""

import hashlib
import re

PLAIN = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)+")
# Windows reserves these names for devices, with any suffix.
DEVICES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)
MAX_LENGTH = 100  # characters: file systems take 255 bytes with the suffix, Windows 260 with all the folders above


def task_file_name(task: str, slash: str = ".") -> str:
    """Returns the name of a task's files and folders: `metaworld/reach-v3` becomes `metaworld.reach-v3`.

    Task names that are long, or contain anything but lower-case letters, digits, `_` and `-`, end in a tilde and a part
    of their hash: `gymnasium/seek:make` becomes `gymnasium.seek_make~b4e4660b`. So no two tasks share a folder, even if
    the file system ignores case, and no tool takes a part of the name for a pattern, a drive or a URL. Manifests hold
    the original name.

    Args:
        task: suite/name.
        slash: replacement of the slash.

    Returns:
        At most 110 ASCII characters.
    """
    name = task.replace("/", slash)
    if PLAIN.fullmatch(task) and not DEVICES.match(name) and len(name) <= MAX_LENGTH:
        return name
    digest = hashlib.sha256(task.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    shown = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:MAX_LENGTH]
    return f"{DEVICES.sub(_escape_device, shown, count=1)}~{digest}"


def _escape_device(found: re.Match[str]) -> str:
    return f"{found[0]}_"
