"""Reads rows of one table of a replay server, in blocks."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from queue import Empty, Queue
from typing import Any

import numpy as np

from gato_dist.sequence import Sequences, SequenceShape
from replay.reverb.tables import ROW, Address, import_reverb, import_tensorflow, where

BLOCK = 16
AHEAD = 4  # blocks
IDLE_MS = 10_000  # without a row, after which the server is asked anew
LOOK_SECONDS = 1.0
ANSWER_SECONDS = 5


def table_sequences(
    address: Address,
    table: str,
    shape: SequenceShape,
    block: int = BLOCK,
    drawn: Callable[[np.ndarray], None] = lambda times: None,
) -> Iterator[Sequences]:
    """Uniform samples of a table, `block` rows at a time, without end. Waits for the table's first rows.

    A server that died is waited for, and found again at its address, or where `address` says that it is now.
    shape: of the table's rows. drawn: told of every block how often each row was sampled so far, this time too.
    """
    import_reverb()
    while True:
        place = where(address)
        # Reverb waits for a server for ever, wherever that is by now: a thread waits for it.
        blocks: Queue[tuple[np.ndarray, np.ndarray] | BaseException] = Queue(1)
        reader = _Reader(place.address, table, block, blocks)
        try:
            while (found := _next_block(blocks)) is not None or where(address).same(place):
                if found is not None:
                    times, rows = found
                    drawn(times)
                    yield Sequences.from_bytes(rows, shape)
        finally:
            reader.leave()


def _next_block(blocks: "Queue[tuple[np.ndarray, np.ndarray] | BaseException]") -> tuple[np.ndarray, np.ndarray] | None:
    """None where there is none for a moment. Raises what reading raised."""
    try:
        found = blocks.get(timeout=LOOK_SECONDS)
    except Empty:
        return None
    if isinstance(found, BaseException):
        raise found
    return found


def cancellation() -> Any:
    """TensorFlow's CancellationManager: its public interface has no way to end an iterator that waits."""
    import_tensorflow()
    from tensorflow.python.eager.cancellation import CancellationManager

    return CancellationManager()


class _Reader:
    """A thread that puts blocks of samples, with how often each row was drawn, into a queue until it is left."""

    def __init__(
        self, address: str, table: str, block: int, blocks: "Queue[tuple[np.ndarray, np.ndarray] | BaseException]"
    ) -> None:
        self._address, self._table, self._block, self._blocks = address, table, block, blocks
        self._ends, self._left = cancellation(), threading.Event()
        threading.Thread(target=self._read, name="replay", daemon=True).start()

    def leave(self) -> None:
        self._left.set()
        self._ends.start_cancel()
        # Else the thread may wait for room for ever.
        with suppress(Empty):
            self._blocks.get_nowait()

    def _read(self) -> None:
        try:
            while not self._left.is_set():
                for sample in self._samples():
                    self._blocks.put(sample)
                    if self._left.is_set():
                        return
                # What TensorFlow traced is a cycle, and holds its connection until then.
                gc.collect()
        except BaseException as error:
            if not self._left.is_set():
                self._blocks.put(error)
        finally:
            gc.collect()

    def _samples(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Blocks; ends where none comes for a while, or the server does not answer."""
        reverb, tf = import_reverb(), import_tensorflow()
        # What ended with an error, such as that no row came, is cancelled for good.
        self._ends = cancellation()
        if self._left.is_set():
            return
        try:
            dataset = reverb.TrajectoryDataset.from_table_signature(
                self._address, self._table, max_in_flight_samples_per_worker=2 * self._block,
                num_workers_per_iterator=1, rate_limiter_timeout_ms=IDLE_MS, get_signature_timeout_secs=ANSWER_SECONDS,
            )  # fmt: skip
        except (reverb.errors.DeadlineExceededError, RuntimeError):
            # The latter at once, where it died as it was asked.
            self._left.wait(LOOK_SECONDS)
            return
        samples = iter(dataset.batch(self._block, drop_remainder=True))

        def draw() -> tuple[Any, Any]:
            sample = next(samples)
            return sample.info.times_sampled, sample.data[ROW]

        cancelable = self._ends.get_cancelable_function(tf.function(draw).get_concrete_function())
        while True:
            try:
                times, rows = cancelable()
            except tf.errors.OutOfRangeError:
                return
            yield times.numpy(), rows.numpy()


class SequenceStream:
    """Any number of rows at a time from an iterator of blocks."""

    def __init__(self, blocks: Iterator[Sequences]) -> None:
        self._blocks = blocks
        self._rest: Sequences | None = None

    def take(self, count: int) -> Sequences:
        """The next `count` rows. Raises StopIteration where the blocks end."""
        parts: list[Sequences] = []
        while count:
            block = self._rest if self._rest is not None else next(self._blocks)
            parts.append(slice_sequences(block, 0, count))
            self._rest = slice_sequences(block, count, len(block)) if len(block) > count else None
            count -= len(parts[-1])
        return join_sequences(parts)


class ReadySequences:
    """As many rows as there are at once, from an iterator of blocks that a thread reads ahead: nobody waits for it."""

    def __init__(self, blocks: Iterator[Sequences], ahead: int = AHEAD) -> None:
        """ahead: blocks that may lie ready, beside one that the thread holds."""
        self._queue: Queue[Sequences | BaseException] = Queue(ahead)
        self._rest: Sequences | None = None
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

    def take(self, count: int) -> Sequences:
        """The next rows, `count` at the most. Raises ValueError where there is none."""
        parts: list[Sequences] = []
        while count and self.any:
            block = self._rest
            assert block is not None
            parts.append(slice_sequences(block, 0, count))
            self._rest = slice_sequences(block, count, len(block)) if len(block) > count else None
            count -= len(parts[-1])
        return join_sequences(parts)

    def _read(self, blocks: Iterator[Sequences]) -> None:
        try:
            for block in blocks:
                self._queue.put(block)
        except BaseException as error:
            self._queue.put(error)


def slice_sequences(rows: Sequences, start: int, stop: int) -> Sequences:
    """Rows start … stop, as views."""
    return Sequences(**{field.name: getattr(rows, field.name)[start:stop] for field in fields(Sequences)})


def take_sequences(rows: Sequences, index: np.ndarray) -> Sequences:
    """These rows, in this order."""
    return Sequences(**{field.name: getattr(rows, field.name)[index] for field in fields(Sequences)})


def join_sequences(parts: list[Sequences]) -> Sequences:
    """All rows of `parts`, of one task, in order."""
    if len(parts) == 1:
        return parts[0]
    return Sequences(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Sequences)}
    )
