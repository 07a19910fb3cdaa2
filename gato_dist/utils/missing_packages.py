"""Advice for packages that are missing and that `pip install 'gato-dist[extra]'` alone does not install."""

import importlib.util
import sys

from gato_dist.errors import InputError

# Without their dependencies, which conflict with other packages and are not needed here.
INSTALL_CLONES = "pip install --no-deps procgen-mirror==0.10.7 gym3==0.3.3"


def wheel_advice(newest: tuple[int, int], command: str = "pip install 'gato-dist[suites]'") -> str:
    """Returns how to install a package on this Python, or that it has no wheel for it.

    Args:
        newest: newest Python that the package has wheels for, as (3, minor).
        command: command that installs the package.
    """
    if sys.version_info[:2] <= newest:
        return command
    return f"it has no wheel after Python {newest[0]}.{newest[1]}"


def require_reverb() -> None:
    """Checks that Reverb, which live replay needs, is installed.

    Raises:
        InputError: if it is not; the message says what to do.
    """
    if importlib.util.find_spec("reverb") is None:
        raise InputError(reverb_advice())


def reverb_advice() -> str:
    """Returns why Reverb is missing, and what to do."""
    if sys.version_info < (3, 12):
        return "live replay needs dm-reverb: pip install 'gato-dist[live]'"
    found = ".".join(map(str, sys.version_info[:2]))
    return (
        f"live replay needs Python 3.11, the last that dm-reverb has wheels for, and this is {found}; "
        "train --data, collect and evaluate work here"
    )
