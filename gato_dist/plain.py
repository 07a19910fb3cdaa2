"""Plain data of a JSON file, as the dataclass that it should be: of the right types, or refused."""

from functools import cache
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

T = TypeVar("T")


def read_as(kind: type[T], data: Any) -> T:
    """A dataclass, or a tuple or dict of them, from plain data; keys that it does not know are left out.

    Raises ValueError where a key is missing or a value is of another type; numbers may stand as text.
    """
    adapter: TypeAdapter = _adapter(kind)  # type: ignore[arg-type]  # classes are hashable
    return adapter.validate_python(data)


@cache
def _adapter(kind: Any) -> TypeAdapter:
    return TypeAdapter(kind)


def as_numbers(values: np.ndarray, dtype: Any = None) -> np.ndarray:
    """The values as `dtype`, given as text, or as they are. Raises ValueError or TypeError where they are none."""
    found = values if dtype is None else values.astype(np.dtype(read_as(str, dtype)))
    if found.dtype.kind not in "biuf":
        raise ValueError(f"{found.dtype} where numbers belong")
    return found
