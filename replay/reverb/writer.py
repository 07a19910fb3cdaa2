"""Writes sequences into a table of a replay server, no faster than the table accepts them."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gato_dist.seeds import sequence_block
from gato_dist.sequence import Sequences
from replay.reverb.addresses import Address, ServerAddress, current_address
from replay.reverb.libraries import import_reverb
from replay.reverb.tables import SEQUENCE_KEY

POLL_MS = 500
Item = tuple[int, NDArray[np.uint8]]  # item id, and the sequence as bytes


class SequenceWriter:
    """Appends sequences to one table, each exactly once. A context manager.

    If the server dies, the writer waits for its successor. A successor that was restored from a checkpoint lacks the
    newest sequences of this writer: it gets them again, in their order.

    Args:
        address: of the server.
        table: the table's name.
        should_stop: ends every wait once it returns True.
        in_flight: most sequences that may be on their way when `write` returns.
        keep: how many of the newest sequences are kept for a successor until a checkpoint holds them: the table's
            size, or 0 without checkpoints. With 0, sequences in flight to a server that dies are lost.

    Raises:
        ValueError: the server has no such table, or a sequence has another size than the table's.
    """

    def __init__(
        self,
        address: Address,
        table: str,
        should_stop: Callable[[], bool],
        *,
        in_flight: int = 16,
        keep: int = 0,
    ) -> None:
        self._reverb = import_reverb()
        self._address, self._table, self._should_stop, self._in_flight = address, table, should_stop, in_flight
        self._kept: deque[Item] = deque(maxlen=keep)
        self._server = current_address(address)
        self._sequence_bytes = 0
        self._writer: Any = None

    def write(self, sequences: Sequences | None) -> bool:
        """Appends sequences, and waits until the table has accepted all but `in_flight` of them.

        Args:
            sequences: None if there are none now. An actor without sequences for a long time should call this too,
                so that a new server gets what it lacks.

        Returns:
            False if `should_stop` ended the wait; then sequences may be lost.
        """
        # Not Reverb's structured writer. It is twice as fast, but it accepts sequences of another shape than the
        # table's, and after a stop it waits for ever if a full table never accepts what is in flight.
        self._drop_covered(current_address(self._address))
        if sequences is None:
            return self._send([], self._in_flight)
        items = list(zip(sequences.item_id.tolist(), sequences.to_bytes(), strict=True))
        for first in range(0, len(items), self._in_flight):
            part = items[first : first + self._in_flight]
            self._kept.extend(part)
            if not self._send(part, self._in_flight):
                return False
        return True

    def _send(self, items: list[Item], in_flight: int) -> bool:
        """Appends items, to the server's successor too if it dies. Returns False if `should_stop` ended the wait."""
        while True:
            accepted = self._append(items, in_flight)
            if (server := current_address(self._address)).is_same_server(self._server):
                return accepted
            self._close()
            self._server = server
            self._drop_covered(server)
            # If nothing is kept, the present items are all that is left.
            items = list(self._kept) if self._kept.maxlen else items

    def _append(self, items: list[Item], in_flight: int) -> bool:
        """Returns whether the table accepted all but `in_flight` items."""
        if self._writer is None and not self._connect():
            return False
        for number, (item_id, data) in enumerate(items):
            # Appending never blocks: only a flush keeps an expert from running ahead of the table.
            if number and number % self._in_flight == 0 and not self._flush(self._in_flight):
                return False
            if len(data) != self._sequence_bytes:
                raise ValueError(
                    f"{self._table}: a sequence of {len(data)} bytes, but {self._sequence_bytes} by the table's "
                    "signature"
                )
            self._writer.append({SEQUENCE_KEY: data})
            # The uniform sampler ignores priorities. The item id goes there, so that checkpoints show which items they
            # hold.
            trajectory = {SEQUENCE_KEY: self._writer.history[SEQUENCE_KEY][-1]}
            self._writer.create_item(self._table, priority=float(item_id), trajectory=trajectory)
        return self._flush(in_flight)

    def _flush(self, in_flight: int) -> bool:
        """Returns False if `should_stop` ended the wait, or the server was replaced."""
        while self._server_is_current():
            try:
                self._writer.flush(block_until_num_items=in_flight, timeout_ms=POLL_MS)
            except self._reverb.errors.DeadlineExceededError:
                continue
            return True
        return False

    def _connect(self) -> bool:
        """Returns False if `should_stop` ended the wait, or the server was replaced."""
        client = self._reverb.Client(self._server.address)
        while self._server_is_current():
            try:
                tables = client.server_info(timeout=1)
            except (self._reverb.errors.DeadlineExceededError, RuntimeError):
                # RuntimeError: the server died during the request.
                time.sleep(POLL_MS / 1000)
                continue
            if self._table not in tables:
                raise ValueError(f"{self._table}: no table of the server at {self._server.address}")
            (self._sequence_bytes,) = tables[self._table].signature[SEQUENCE_KEY].shape
            # To validate items, Reverb would request the signature, and wait for ever if the server dies now.
            self._writer = client.trajectory_writer(num_keep_alive_refs=1, validate_items=False)
            return True
        return False

    def _server_is_current(self) -> bool:
        return not self._should_stop() and current_address(self._address).is_same_server(self._server)

    def _close(self) -> None:
        """Closes the connection. Items in flight are lost."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _drop_covered(self, server: ServerAddress) -> None:
        """Forgets the sequences that the server's newest checkpoint holds."""
        covered = server.covered.get(self._table, {})
        while self._kept and self._kept[0][0] <= covered.get(sequence_block(self._kept[0][0]), -1):
            self._kept.popleft()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing loses the items in flight, so wait for them first. The wait ends if a full table never accepts them.
        if kind is None and self._send([], 0):
            self._close()
