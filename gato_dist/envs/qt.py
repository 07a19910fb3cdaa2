"""Makes Qt5 available to Procgen if the system has none."""

import ctypes
import ctypes.util
import importlib.util
from functools import cache
from pathlib import Path

_LIBRARIES = ("libicudata.so.56", "libicuuc.so.56", "libicui18n.so.56", "libQt5Core.so.5", "libQt5Gui.so.5")


@cache
def load_qt5() -> None:
    """Loads the Qt5 libraries of the `PyQt5-Qt5` wheel into this process, unless the system has its own.

    Call it before `envpool` or `procgen` is imported: Procgen draws with Qt5, and its binaries look the libraries up
    by name only.

    Raises:
        ImportError: if there is no Qt5 at all. The message names both remedies.
    """
    if ctypes.util.find_library("Qt5Gui"):
        return
    package = importlib.util.find_spec("PyQt5")
    roots = list(package.submodule_search_locations or []) if package else []
    library_dir = next((Path(root, "Qt5", "lib") for root in roots if Path(root, "Qt5", "lib").is_dir()), None)
    if library_dir is None:
        raise ImportError("Procgen needs Qt5: pip install 'gato-dist[suites]', or apt-get install libqt5gui5")
    for name in _LIBRARIES:
        ctypes.CDLL(str(library_dir / name), mode=ctypes.RTLD_GLOBAL)
