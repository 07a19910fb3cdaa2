"""Sequences for replay servers in tests, and helpers to reach the servers."""

from typing import Any

import numpy as np

from gato_dist.sequence import Sequences, SequenceShape
from replay.reverb.tables import table_metrics


def make_sequences(shape: SequenceShape, count: int, first: int = 0) -> Sequences:
    """Returns random sequences with item ids first … first + count − 1."""
    rng = np.random.default_rng(first)
    arrays = {
        name: rng.integers(0, 2, size=(count, *dims)).astype(dtype)
        for name, (dims, dtype) in Sequences.signature(shape).items()
    }
    arrays["item_id"] = np.arange(first, first + count)
    arrays["segment"][:] = 0
    return Sequences(**arrays)


def address(server: Any) -> str:
    """Returns the host:port of a `ReplayServer` or `reverb.Server`."""
    return f"localhost:{server.port}"


def inserted(server: Any, table: str) -> int:
    """Returns how many sequences were inserted into a table of a `reverb.Server`."""
    return table_metrics(server.localhost_client().server_info())[table].inserted


def never() -> bool:
    """A `should_stop` that never stops."""
    return False
