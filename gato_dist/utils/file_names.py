"""Files and folders that are named after tasks, on every file system and for every tool."""

import hashlib
import re

PLAIN = re.compile(r"[a-z0-9_-]+(/[a-z0-9_-]+)+")
# Windows keeps these for devices, whatever follows their first dot.
DEVICES = re.compile(r"^(con|prn|aux|nul|com\d|lpt\d)(?=\.|$)", re.IGNORECASE)
MOST = 100  # characters: file systems take 255 bytes with the suffix, Windows 260 with all the folders above


def task_file_name(task: str, slash: str = ".") -> str:
    """The name that files and folders of a task begin with: `metaworld/reach-v3` becomes `metaworld.reach-v3`.

    Names of tasks that hold anything but small letters, digits, `_` and `-`, or are long, get a part of their hash
    behind a tilde: `gymnasium/seek:make` becomes `gymnasium.seek_make~b4e4660b`. So no two tasks share a folder, not
    even where capitals do not count, and no tool takes a part of the name for a pattern, a drive or a URL. Manifests
    hold the task's own name.

    Args:
        task: suite/name.
        slash: what stands for a slash.

    Returns:
        At most 110 characters of ASCII.
    """
    name = task.replace("/", slash)
    if PLAIN.fullmatch(task) and not DEVICES.match(name) and len(name) <= MOST:
        return name
    digest = hashlib.sha256(task.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    shown = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:MOST]
    return f"{DEVICES.sub(_not_a_device, shown, count=1)}~{digest}"


def _not_a_device(found: re.Match) -> str:
    return f"{found[0]}_"
