"""Writes rows into a table of a replay server, no faster than the table takes them."""

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

import numpy as np

from gato_dist.seeds import sequence_block
from gato_dist.sequence import Sequences
from replay.reverb.tables import ROW, Address, ServerAddress, import_reverb, where

WAIT_MS = 500
Sent = tuple[int, np.ndarray]  # item id, bytes of the row


class SequenceWriter:
    """Appends rows to one table, each once. `write` returns when all but `in_flight` rows have been taken.

    A server that died is waited for, until `address` tells where the next one is. That one begins from a checkpoint:
    what it lacks of this writer's rows it is given once more, in their order.
    keep: how many of the newest rows are held for that until a checkpoint has them; as many as the table keeps, or 0
    where there are no checkpoints. Without them, rows on their way to a server that dies are lost.
    """

    def __init__(
        self, address: Address, table: str, should_stop: Callable[[], bool], in_flight: int = 16, keep: int = 0
    ) -> None:
        self._reverb = import_reverb()
        self._address, self._table, self._should_stop, self._in_flight = address, table, should_stop, in_flight
        self._kept: deque[Sent] = deque(maxlen=keep)
        self._place, self._bytes = where(address), 0
        self._writer: Any = None

    def write(self, rows: Sequences | None) -> bool:
        """Appends rows and waits for room. False where it was told to stop while it waited: rows may be lost.

        None: there are none now; who has none for long says so, for a next server to be given what it lacks.
        """
        # Not the structured writer: it takes half the time, but accepts rows of another shape than the table's, and
        # once told to stop it waits for ever where a full table never takes what is in flight.
        self._forget(where(self._address))
        if rows is None:
            return self._send([], self._in_flight)
        sent = list(zip(rows.item_id.tolist(), rows.to_bytes(), strict=True))
        for first in range(0, len(sent), self._in_flight):
            some = sent[first : first + self._in_flight]
            self._kept.extend(some)
            if not self._send(some, self._in_flight):
                return False
        return True

    def _send(self, rows: list[Sent], in_flight: int) -> bool:
        """Appends rows, to the next server too where this one dies. False where it was told to stop."""
        while True:
            taken = self._append(rows, in_flight)
            if (place := where(self._address)).same(self._place):
                return taken
            self._close()
            self._place = place
            self._forget(place)
            # Without keeping, what was to be sent now is all that is left.
            rows = list(self._kept) if self._kept.maxlen else rows

    def _append(self, rows: list[Sent], in_flight: int) -> bool:
        """Whether all but `in_flight` rows were taken."""
        if self._writer is None and not self._connect():
            return False
        for number, (item, row) in enumerate(rows):
            # Appending never blocks: only a flush keeps an expert from running ahead of the table.
            if number and number % self._in_flight == 0 and not self._flush(self._in_flight):
                return False
            if len(row) != self._bytes:
                raise ValueError(f"{self._table}: a row of {len(row)} bytes, {self._bytes} by the table's signature")
            self._writer.append({ROW: row})
            # As its priority, which a uniform sampler does not ask for, a checkpoint tells which row an item is.
            trajectory = {ROW: self._writer.history[ROW][-1]}
            self._writer.create_item(self._table, priority=float(item), trajectory=trajectory)
        return self._flush(in_flight)

    def _flush(self, in_flight: int) -> bool:
        """False where it was told to stop, or the server is another one by now."""
        while self._serves():
            try:
                self._writer.flush(block_until_num_items=in_flight, timeout_ms=WAIT_MS)
            except self._reverb.errors.DeadlineExceededError:
                continue
            return True
        return False

    def _connect(self) -> bool:
        """False where it was told to stop, or the server is another one by now. Raises ValueError without the table."""
        client = self._reverb.Client(self._place.address)
        while self._serves():
            try:
                tables = client.server_info(timeout=1)
            except (self._reverb.errors.DeadlineExceededError, RuntimeError):
                # The latter where it died as it was asked.
                time.sleep(WAIT_MS / 1000)
                continue
            if self._table not in tables:
                raise ValueError(f"{self._table}: no table of the server at {self._place.address}")
            (self._bytes,) = tables[self._table].signature[ROW].shape
            # To check items Reverb would ask for the signature, and wait for ever for a server that dies now.
            self._writer = client.trajectory_writer(num_keep_alive_refs=1, validate_items=False)
            return True
        return False

    def _serves(self) -> bool:
        return not self._should_stop() and where(self._address).same(self._place)

    def _close(self) -> None:
        """Drops what is in flight."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _forget(self, place: ServerAddress) -> None:
        """Rows that the newest checkpoint holds."""
        covered = place.covered.get(self._table, {})
        while self._kept and self._kept[0][0] <= covered.get(sequence_block(self._kept[0][0]), -1):
            self._kept.popleft()

    def __enter__(self) -> "SequenceWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing drops the rows in flight; waiting for them must end where a full table never takes them.
        if kind is None and self._send([], 0):
            self._close()
