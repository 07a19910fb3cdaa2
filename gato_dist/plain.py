"""Plain data of a JSON file, as the dataclass that it should be: of the right types, or refused."""

from functools import cache
from typing import Any, TypeVar

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
