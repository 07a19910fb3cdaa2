"""Reads rows of one table of a replay server, in blocks."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from queue import Empty, Queue
from typing import Any

import numpy as np

from gato_dist.sequence import Rows, RowShape
from replay.tables import ROW, Address, import_reverb, where

BLOCK = 16
AHEAD = 4  # blocks
IDLE_MS = 10_000  # without a row, after which the server is asked anew
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 5


def table_rows(
    address: Address,
    table: str,
    shape: RowShape,
    block: int = BLOCK,
    drawn: Callable[[np.ndarray], None] = lambda times: None,
) -> Iterator[Rows]:
    """Uniform samples of a table, `block` rows at a time, without end. Waits for the table's first rows.

    A server that died is waited for, and found again at its address, or where `address` says that it is now.
    shape: of the table's rows. drawn: told of every block how often each row was sampled so far, this time too.
    """
    import_reverb()
    while True:
        place = where(address)
        # Reverb waits for a server for ever and cannot be interrupted, wherever that is by now: a thread waits for it.
        blocks: Queue[tuple[np.ndarray, np.ndarray] | BaseException] = Queue(1)
        left = threading.Event()
        threading.Thread(
            target=_read_blocks, args=(place, table, block, blocks, left), name="replay", daemon=True
        ).start()
        try:
            while (found := _next_block(blocks)) is not None or where(address) == place:
                if found is not None:
                    times, rows = found
                    drawn(times)
                    yield Rows.from_bytes(rows, shape)
        finally:
            left.set()
            # Else the thread may wait for room for ever.
            with suppress(Empty):
                blocks.get_nowait()


def _next_block(blocks: "Queue[tuple[np.ndarray, np.ndarray] | BaseException]") -> tuple[np.ndarray, np.ndarray] | None:
    """None where there is none for a moment. Raises what reading raised."""
    try:
        found = blocks.get(timeout=LOOK_SECONDS)
    except Empty:
        return None
    if isinstance(found, BaseException):
        raise found
    return found


def _read_blocks(
    place: str,
    table: str,
    block: int,
    blocks: "Queue[tuple[np.ndarray, np.ndarray] | BaseException]",
    left: threading.Event,
) -> None:
    """Puts blocks of samples, with how often each was drawn, until `left`."""
    try:
        while not left.is_set():
            for sample in _samples(place, table, block):
                blocks.put((sample.info.times_sampled, sample.data[ROW]))
                if left.is_set():
                    return
    except BaseException as error:
        blocks.put(error)


def _samples(place: str, table: str, block: int) -> Iterator[Any]:
    """Blocks of samples as Reverb has them; ends where none comes for a while, or the server does not answer."""
    reverb = import_reverb()
    import tensorflow as tf

    # Other processes need the cores more than TensorFlow does.
    tf.config.threading.set_intra_op_parallelism_threads(1)
    try:
        dataset = reverb.TrajectoryDataset.from_table_signature(
            place, table, max_in_flight_samples_per_worker=2 * block, num_workers_per_iterator=1,
            rate_limiter_timeout_ms=IDLE_MS, get_signature_timeout_secs=ANSWER_SECONDS,
        )  # fmt: skip
    except reverb.errors.DeadlineExceededError:
        return
    yield from dataset.batch(block, drop_remainder=True).as_numpy_iterator()


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
