"""Reads uniform samples of one table of a replay server, in blocks of sequences."""

import gc
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.sequence import Sequences, SequenceShape
from replay.reverb.addresses import Address, current_address
from replay.reverb.libraries import import_reverb, import_tensorflow
from replay.reverb.tables import SEQUENCE_KEY

BLOCK = 16  # sequences
IDLE_MS = 10_000  # reconnect after this time without a sample
POLL_SECONDS = 1.0
SIGNATURE_SECONDS = 5

CountDraws = Callable[[NDArray[Any]], None]
# How often each sequence of a block was sampled so far, int [B], and the sequences as bytes, uint8 [B, bytes].
Sample = tuple[NDArray[Any], NDArray[np.uint8]]


def ignore_draws(times_sampled: NDArray[Any]) -> None:
    """A `count_draws` function that counts nothing."""


def table_sequences(
    address: Address,
    table: str,
    shape: SequenceShape,
    *,
    block: int = BLOCK,
    count_draws: CountDraws = ignore_draws,
) -> Iterator[Sequences]:
    """Yields uniform samples of a table, in blocks, without end. Waits until the table can be sampled.

    If the server dies, the generator waits and then continues with its successor.

    Args:
        address: of the server.
        table: the table's name.
        shape: shape of its sequences.
        block: sequences in a block.
        count_draws: called for every block with int [block]: how often each of its sequences was sampled so far, this
            time included.
    """
    import_reverb()
    while True:
        server = current_address(address)
        # Reverb waits for a dead server for ever. So a thread waits, and this loop checks for a new address.
        samples: Queue[Sample | BaseException] = Queue(1)
        reader = _Reader(server.address, table, block, samples)
        try:
            while (sample := _next_sample(samples)) is not None or current_address(address).is_same_server(server):
                if sample is not None:
                    times_sampled, data = sample
                    count_draws(times_sampled)
                    yield Sequences.from_bytes(data, shape)
        finally:
            reader.stop()


def _next_sample(samples: "Queue[Sample | BaseException]") -> Sample | None:
    """Returns the next block, or None if none came within POLL_SECONDS. Raises what the reader raised."""
    try:
        sample = samples.get(timeout=POLL_SECONDS)
    except Empty:
        return None
    if isinstance(sample, BaseException):
        raise sample
    return sample


def _cancellation_manager() -> Any:
    """Returns TensorFlow's CancellationManager: no public interface can stop an iterator that waits."""
    import_tensorflow()
    from tensorflow.python.eager.cancellation import CancellationManager

    return CancellationManager()


class _Reader:
    """A thread that puts samples of a table into a queue until `stop` is called."""

    def __init__(self, address: str, table: str, block: int, samples: "Queue[Sample | BaseException]") -> None:
        self._address, self._table, self._block, self._queue = address, table, block, samples
        self._cancellation, self._stopped = _cancellation_manager(), threading.Event()
        threading.Thread(target=self._read, name="replay", daemon=True).start()

    def stop(self) -> None:
        self._stopped.set()
        self._cancellation.start_cancel()
        # The thread may be waiting for room in the queue.
        with suppress(Empty):
            self._queue.get_nowait()

    def _read(self) -> None:
        try:
            while not self._stopped.is_set():
                for sample in self._connection_samples():
                    self._queue.put(sample)
                    if self._stopped.is_set():
                        return
                # TensorFlow's traced function is a reference cycle that keeps the connection open until collected.
                gc.collect()
        except BaseException as error:
            if not self._stopped.is_set():
                self._queue.put(error)
        finally:
            gc.collect()

    def _connection_samples(self) -> Iterator[Sample]:
        """Yields samples of one connection. Ends after IDLE_MS without a sample, or if the server does not answer."""
        reverb, tf = import_reverb(), import_tensorflow()
        # An error, such as a timeout, cancels a manager for good: every connection needs a new one.
        self._cancellation = _cancellation_manager()
        if self._stopped.is_set():
            return
        try:
            dataset = reverb.TrajectoryDataset.from_table_signature(
                self._address,
                self._table,
                max_in_flight_samples_per_worker=2 * self._block,
                num_workers_per_iterator=1,
                rate_limiter_timeout_ms=IDLE_MS,
                get_signature_timeout_secs=SIGNATURE_SECONDS,
            )
        except (reverb.errors.DeadlineExceededError, RuntimeError):
            # RuntimeError comes at once if the server dies during the request.
            self._stopped.wait(POLL_SECONDS)
            return
        samples = iter(dataset.batch(self._block, drop_remainder=True))

        def draw() -> tuple[Any, Any]:
            sample = next(samples)
            return sample.info.times_sampled, sample.data[SEQUENCE_KEY]

        cancelable = self._cancellation.get_cancelable_function(tf.function(draw).get_concrete_function())
        while True:
            try:
                times_sampled, data = cancelable()
            except tf.errors.OutOfRangeError:
                return
            yield times_sampled.numpy(), data.numpy()
