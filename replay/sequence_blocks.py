"""Joins blocks of sequences, and reads blocks ahead in a thread."""

import threading
from collections.abc import Iterator
from dataclasses import fields
from queue import Empty, Queue

import numpy as np

from gato_dist.sequence import Sequences

MAX_BLOCKS_AHEAD = 4


def join_sequences(parts: list[Sequences]) -> Sequences:
    """Returns the sequences of all parts, which are of one task, in order."""
    if len(parts) == 1:
        return parts[0]
    return Sequences(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Sequences)}
    )


class ReadySequences:
    """Hands out sequences that are ready, from blocks that a thread reads ahead. Taking sequences never blocks.

    Args:
        blocks: an iterator of blocks. A thread consumes it.
        max_ahead: most blocks that wait in the queue, in addition to one that the thread holds.
    """

    def __init__(self, blocks: Iterator[Sequences], max_ahead: int = MAX_BLOCKS_AHEAD) -> None:
        self._queue: Queue[Sequences | BaseException] = Queue(max_ahead)
        self._rest: Sequences | None = None
        # A daemon: when nobody takes sequences any more, it waits for room in the queue for ever.
        threading.Thread(target=self._read, args=(blocks,), name="replay blocks", daemon=True).start()

    @property
    def any(self) -> bool:
        """Whether a sequence is ready. Raises what the iterator raised."""
        return self.wait(0.0)

    def wait(self, seconds: float) -> bool:
        """Waits until a sequence is ready, but no longer than `seconds`.

        Returns:
            Whether one is ready.

        Raises:
            BaseException: what the iterator raised.
        """
        if self._rest is None:
            try:
                block = self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
            except Empty:
                return False
            if isinstance(block, BaseException):
                raise block
            self._rest = block
        return True

    def take(self, count: int) -> Sequences:
        """Returns the next sequences that are ready, `count` at most.

        Raises:
            ValueError: none is ready.
        """
        parts: list[Sequences] = []
        while count and self.any:
            block = self._rest
            assert block is not None
            parts.append(block.take(slice(0, count)))
            self._rest = block.take(slice(count, None)) if len(block) > count else None
            count -= len(parts[-1])
        return join_sequences(parts)

    def _read(self, blocks: Iterator[Sequences]) -> None:
        try:
            for block in blocks:
                self._queue.put(block)
        except BaseException as error:
            self._queue.put(error)
