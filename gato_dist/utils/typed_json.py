"""JSON files with types: writing JSON that every reader accepts, and reading it as dataclasses."""

import json
import math
from functools import cache
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

T = TypeVar("T")


def to_json(data: Any, **layout: Any) -> str:
    """Returns plain data as JSON.

    JSON has neither infinity nor NaN: they are written as the strings "inf", "-inf" and "nan", which `read_as` reads as
    numbers.

    Args:
        data: nested dicts, lists, numbers and strings.
        layout: keyword arguments of `json.dumps`, such as `indent`.
    """
    try:
        return json.dumps(data, allow_nan=False, **layout)
    except ValueError:
        return json.dumps(_with_named_numbers(data), allow_nan=False, **layout)


def _with_named_numbers(data: Any) -> Any:
    if isinstance(data, float) and not math.isfinite(data):
        return str(float(data))
    if isinstance(data, dict):
        return {key: _with_named_numbers(value) for key, value in data.items()}
    return [_with_named_numbers(value) for value in data] if isinstance(data, list | tuple) else data


def read_as(kind: type[T], data: Any) -> T:
    """Reads plain data as a type. Keys that the type does not have are ignored, and numbers may be strings.

    Args:
        kind: a dataclass, or another type that pydantic can check, such as a dict of dataclasses.
        data: plain data.

    Raises:
        ValueError: if a key is missing or a value has the wrong type.
    """
    adapter: TypeAdapter[T] = _adapter(kind)  # type: ignore[arg-type]  # classes are hashable
    return adapter.validate_python(data)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def as_numbers(values: NDArray[Any], dtype: Any = None) -> NDArray[Any]:
    """Returns an array of numbers as another dtype.

    Args:
        values: an array.
        dtype: name of the dtype; None: unchanged.

    Raises:
        ValueError: if the result does not hold numbers.
        TypeError: if there is no such dtype.
    """
    numbers = values if dtype is None else values.astype(np.dtype(read_as(str, dtype)))
    if numbers.dtype.kind not in "biuf":
        raise ValueError(f"{numbers.dtype} where numbers belong")
    return numbers
