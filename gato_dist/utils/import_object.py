"""Finds what a user wrote, by the name that stands in a task or a configuration."""

import importlib
import sys
from types import ModuleType
from typing import Any

from gato_dist.errors import brief


def find(path: str) -> Any:
    """The object at `module:name`. Raises ImportError as `load`, ValueError if `path` is no such pair."""
    module, _, name = path.partition(":")
    if not (module and name):
        raise ValueError(f"{path!r} must be module:name")
    found = load(module)
    if not hasattr(found, name):
        raise ImportError(f"{module} has no {name!r}")
    return getattr(found, name)


def load(module: str) -> ModuleType:
    """A module, looked for in the working directory too. Raises ImportError that says why it cannot be imported."""
    # A console script does not look for modules in the folder it is called from.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ImportError(f"module {module} is not here: put it in the working directory or on PYTHONPATH") from error
    except ImportError:
        raise
    except Exception as error:  # whatever a user's module raises
        raise ImportError(f"{module} cannot be imported: {type(error).__name__}: {brief(error)}") from error
