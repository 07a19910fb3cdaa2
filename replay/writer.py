"""Writes rows into a table of a replay server, no faster than the table takes them."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from gato_dist.sequence import Rows
from replay.tables import ROW, Address, import_reverb, where

WAIT_MS = 500


class RowWriter:
    """Appends rows to one table. `write` returns when all but `in_flight` rows have been taken.

    A server that died is waited for: Reverb finds it again at its address and sends what it had not confirmed once
    more, under the same keys. Where `address` tells of another place, rows in flight are lost, as the server's are.
    """

    def __init__(self, address: Address, table: str, should_stop: Callable[[], bool], in_flight: int = 16) -> None:
        self._reverb = import_reverb()
        self._address, self._table, self._should_stop, self._in_flight = address, table, should_stop, in_flight
        self._open(where(address))

    def _open(self, place: str) -> None:
        self._place = place
        self._writer: Any = self._reverb.Client(place).trajectory_writer(num_keep_alive_refs=1)

    def write(self, rows: Rows) -> bool:
        """Appends rows and waits for room. False where it was told to stop while it waited: rows may be lost."""
        # Not the structured writer: it takes half the time, but accepts rows of another shape than the table's, and
        # once told to stop it waits for ever where a full table never takes what is in flight.
        data = rows.to_bytes()
        for first in range(0, len(data), self._in_flight):
            for row in data[first : first + self._in_flight]:
                self._writer.append({ROW: row})
                self._writer.create_item(self._table, priority=1.0, trajectory={ROW: self._writer.history[ROW][-1]})
            # Appending never blocks: only a flush keeps an expert from running ahead of the table.
            if not self._flush(self._in_flight):
                return False
        return True

    def _flush(self, in_flight: int) -> bool:
        while not self._should_stop():
            try:
                self._writer.flush(block_until_num_items=in_flight, timeout_ms=WAIT_MS)
            except self._reverb.errors.DeadlineExceededError:
                if (place := where(self._address)) != self._place:
                    self._open(place)
                continue
            return True
        return False

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing drops the rows in flight; waiting for them must end where a full table never takes them.
        if kind is None and self._flush(0):
            self._writer.close()
