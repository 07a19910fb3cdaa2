"""Reads rows of one table of a replay server, in blocks."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import fields
from queue import Empty, Queue

import numpy as np

from gato_dist.sequence import Rows, RowShape
from replay.tables import ROW, import_reverb

BLOCK = 16
AHEAD = 4  # blocks


def table_rows(
    address: str,
    table: str,
    shape: RowShape,
    block: int = BLOCK,
    drawn: Callable[[np.ndarray], None] = lambda times: None,
) -> Iterator[Rows]:
    """Uniform samples of a table, `block` rows at a time, without end. Waits for the table's first rows.

    shape: of the table's rows. drawn: told of every block how often each row was sampled so far, this time too.
    """
    reverb = import_reverb()
    import tensorflow as tf

    # Other processes need the cores more than TensorFlow does.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    dataset = reverb.TrajectoryDataset.from_table_signature(
        address, table, max_in_flight_samples_per_worker=2 * block, num_workers_per_iterator=1
    )
    for sample in dataset.batch(block, drop_remainder=True).as_numpy_iterator():
        drawn(sample.info.times_sampled)
        yield Rows.from_bytes(sample.data[ROW], shape)


class RowStream:
    """Any number of rows at a time from an iterator of blocks."""

    def __init__(self, blocks: Iterator[Rows]) -> None:
        self._blocks = blocks
        self._rest: Rows | None = None

    def take(self, count: int) -> Rows:
        """The next `count` rows. Raises StopIteration where the blocks end."""
        parts: list[Rows] = []
        while count:
            block = self._rest if self._rest is not None else next(self._blocks)
            parts.append(slice_rows(block, 0, count))
            self._rest = slice_rows(block, count, len(block)) if len(block) > count else None
            count -= len(parts[-1])
        return join_rows(parts)


class ReadyRows:
    """As many rows as there are at once, from an iterator of blocks that a thread reads ahead: nobody waits for it."""

    def __init__(self, blocks: Iterator[Rows], ahead: int = AHEAD) -> None:
        """ahead: blocks that may lie ready, beside one that the thread holds."""
        self._queue: Queue[Rows | BaseException] = Queue(ahead)
        self._rest: Rows | None = None
        # A daemon: whoever stops taking rows leaves it waiting for room.
        threading.Thread(target=self._read, args=(blocks,), name="rows", daemon=True).start()

    @property
    def any(self) -> bool:
        """Whether there is a row. Raises what reading raised."""
        return self.wait(0.0)

    def wait(self, seconds: float) -> bool:
        """The same, once there is one or the time is over."""
        if self._rest is None:
            try:
                found = self._queue.get(timeout=seconds) if seconds else self._queue.get_nowait()
            except Empty:
                return False
            if isinstance(found, BaseException):
                raise found
            self._rest = found
        return True

    def take(self, count: int) -> Rows:
        """The next rows, `count` at the most. Raises ValueError where there is none."""
        parts: list[Rows] = []
        while count and self.any:
            block = self._rest
            assert block is not None
            parts.append(slice_rows(block, 0, count))
            self._rest = slice_rows(block, count, len(block)) if len(block) > count else None
            count -= len(parts[-1])
        return join_rows(parts)

    def _read(self, blocks: Iterator[Rows]) -> None:
        try:
            for block in blocks:
                self._queue.put(block)
        except BaseException as error:
            self._queue.put(error)


def slice_rows(rows: Rows, start: int, stop: int) -> Rows:
    """Rows start … stop, as views."""
    return Rows(**{field.name: getattr(rows, field.name)[start:stop] for field in fields(Rows)})


def take_rows(rows: Rows, index: np.ndarray) -> Rows:
    """These rows, in this order."""
    return Rows(**{field.name: getattr(rows, field.name)[index] for field in fields(Rows)})


def join_rows(parts: list[Rows]) -> Rows:
    """All rows of `parts`, of one task, in order."""
    if len(parts) == 1:
        return parts[0]
    return Rows(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Rows)})
