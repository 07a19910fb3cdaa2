"""Gives matplotlib a cache folder that no other user shares.

Importing envpool imports matplotlib, and unless MPLCONFIGDIR is set, envpool puts matplotlib's cache into one folder of
/tmp for all users. Everybody except the folder's owner then gets a warning at every import.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path


def set_matplotlib_cache() -> None:
    """Sets MPLCONFIGDIR to a folder of this user, unless it is set already.

    Call it before envpool or matplotlib is imported.
    """
    if "MPLCONFIGDIR" not in os.environ:
        os.environ["MPLCONFIGDIR"] = str(_cache_in_home() or _cache_of_this_process())


def _cache_in_home() -> Path | None:
    """Returns the user's cache folder, as the XDG specification names it; None if it cannot be written."""
    try:
        parent = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(parent) / "matplotlib"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # no home that can be written, or no home at all
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _cache_of_this_process() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="matplotlib-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
