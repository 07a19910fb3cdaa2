"""A list that one side fills and the other side empties."""

from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Keeps items until they are taken. Each item is taken once."""

    def __init__(self) -> None:
        self._items: list[T] = []

    def put(self, item: T) -> None:
        self._items.append(item)

    def take(self) -> list[T]:
        """Returns the items since the last call, oldest first."""
        taken, self._items = self._items, []
        return taken
