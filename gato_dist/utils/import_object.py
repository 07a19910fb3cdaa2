"""Imports users' own code by the names in a task or a configuration."""

import importlib
import sys
from types import ModuleType
from typing import Any

from gato_dist.errors import brief


def import_object(path: str) -> Any:
    """Returns the object at `module:name`.

    Raises:
        ImportError: as `import_user_module`, or if the module has no such name.
        ValueError: if `path` has another form.
    """
    module, _, name = path.partition(":")
    if not (module and name):
        raise ValueError(f"{path!r} must be module:name")
    found = import_user_module(module)
    if not hasattr(found, name):
        raise ImportError(f"{module} has no {name!r}")
    return getattr(found, name)


def import_user_module(name: str) -> ModuleType:
    """Imports a module from the working directory or the usual path.

    Raises:
        ImportError: if it cannot be imported; the message says why.
    """
    # A console script does not search the working directory.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        raise ImportError(f"module {name} is not here: put it in the working directory or on PYTHONPATH") from error
    except ImportError:
        raise
    except Exception as error:  # a user's module can raise anything
        raise ImportError(f"{name} cannot be imported: {type(error).__name__}: {brief(error)}") from error
