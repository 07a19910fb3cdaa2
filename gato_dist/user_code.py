"""Finds what a user wrote, by the name that stands in a task or a configuration."""

import importlib
import sys
from typing import Any


def find(path: str) -> Any:
    """The object at `module:name`; the module is looked for in the working directory too.

    Raises ImportError where there is no such module or name, ValueError where `path` is no such pair.
    """
    module, _, name = path.partition(":")
    if not (module and name):
        raise ValueError(f"{path!r} must be module:name")
    # A console script does not look for modules in the folder it is called from.
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        return getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise ImportError(f"module {module} is not here: put it in the working directory or on PYTHONPATH") from error
    except AttributeError as error:
        raise ImportError(f"{module} has no {name!r}") from error
