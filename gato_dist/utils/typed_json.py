"""Plain data of JSON files: written so that every reader takes it, read as the dataclass that it should be."""

import json
import math
from functools import cache
from typing import Any, TypeVar

import numpy as np
from pydantic import TypeAdapter

T = TypeVar("T")


def to_json(data: Any, **layout: Any) -> str:
    """JSON of plain data. layout: as `json.dumps`, such as `indent`.

    JSON has no infinity and no NaN: they are written as text, "inf", "-inf" or "nan", which `read_as` takes for the
    numbers that they are.
    """
    try:
        return json.dumps(data, allow_nan=False, **layout)
    except ValueError:
        return json.dumps(_spelled_out(data), allow_nan=False, **layout)


def _spelled_out(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(float(data))
    if isinstance(data, dict):
        return {key: _spelled_out(value) for key, value in data.items()}
    return [_spelled_out(value) for value in data] if isinstance(data, list | tuple) else data


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
