"""A replay server that is killed and comes back: writers and readers go on, and no row counts twice."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import portpicker
import pytest

from gato_dist.sequence import Rows, RowShape
from replay.sampler import table_rows
from replay.tables import import_reverb
from replay.writer import RowWriter
from tests.replay.test_replay import make_rows

ROOT = Path(__file__).parents[2]
SHAPE = RowShape(16, 0, 2, 3)
SERVER = """
import sys
from gato_dist.config_sections import ReplayConfig
from gato_dist.sequence import RowShape
from replay.tables import start_server
server = start_server({"a": RowShape(16, 0, 2, 3)}, ReplayConfig(port=int(sys.argv[1]), min_size=4))
print(server.port, flush=True)
server.wait()
"""


@contextmanager
def server_process(port: int) -> Iterator[subprocess.Popen]:
    words = [sys.executable, "-c", SERVER, str(port)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@contextmanager
def expert(address) -> Iterator[list[int]]:
    """Writes rows without end; yields the number of those taken so far."""
    stop, taken = threading.Event(), [0]

    def write() -> None:
        with RowWriter(address, "a", stop.is_set, in_flight=4) as writer:
            for number in itertools.count():
                if not writer.write(make_rows(SHAPE, 1, number)) or stop.wait(0.01):
                    return
                taken[0] = number + 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join(timeout=60)


def read_beyond(stream, number: int) -> None:
    """Until the stream gives a row that was written after so many others."""
    for rows in stream:
        if rows.item_id.max() > number:
            return


@pytest.mark.parametrize("moves", [False, True])
def test_writers_and_readers_outlive_their_server(moves):
    first = portpicker.pick_unused_port()
    ports = [first, portpicker.pick_unused_port() if moves else first]
    place = [f"localhost:{first}"]
    with server_process(first) as server, expert(lambda: place[0]) as taken:
        stream = table_rows(lambda: place[0], "a", SHAPE, block=4)
        read_beyond(stream, 0)
        server.kill()
        server.wait()
        place[0] = f"localhost:{ports[1]}"
        with server_process(ports[1]):
            read_beyond(stream, taken[0] + 20)
            keys: dict[int, set[int]] = {}
            for sample in import_reverb().Client(place[0]).sample("a", 200, emit_timesteps=False):
                row = Rows.from_bytes(np.asarray(sample.data[0]).reshape(1, -1), SHAPE)
                keys.setdefault(int(row.item_id[0]), set()).add(int(np.ravel(sample.info.key)[0]))
            assert {len(found) for found in keys.values()} == {1}
