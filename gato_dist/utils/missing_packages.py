"""What someone is told whose Python lacks a package that plain `pip install 'gato-dist[extra]'` does not bring."""

import importlib.util
import sys

from gato_dist.errors import InputError

# Without their dependencies, whose pins clash with everything else and which are not needed for what is used of them.
INSTALL_CLONES = "pip install --no-deps procgen-mirror==0.10.7 gym3==0.3.3"


def wheel_advice(newest: tuple[int, int], command: str = "pip install 'gato-dist[suites]'") -> str:
    """How a package is had whose last wheel is for the Python `newest` (3, minor): the command, or that it is not."""
    if sys.version_info[:2] <= newest:
        return command
    return f"it has no wheel after Python {newest[0]}.{newest[1]}"


def require_reverb() -> None:
    """Raises InputError if Reverb, and with it live replay, is not installed."""
    if importlib.util.find_spec("reverb") is None:
        raise InputError(reverb_advice())


def reverb_advice() -> str:
    """Why there is no Reverb here, and what to do."""
    if sys.version_info < (3, 12):
        return "live replay needs dm-reverb: pip install 'gato-dist[live]'"
    found = ".".join(map(str, sys.version_info[:2]))
    return (
        f"live replay needs Python 3.11, the last that dm-reverb has wheels for, and this is {found}; "
        "train --data, collect and evaluate work here"
    )
