"""A replay server that is killed and comes back: writers and readers go on, and no row is lost or counts twice."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.seeds import first_sequence
from gato_dist.sequence import SequenceShape
from replay.reverb.checkpoints import newest_rows, stored_sequences
from replay.reverb.sampler import table_sequences
from replay.reverb.server import NEWEST, Disk
from replay.reverb.tables import ServerAddress
from replay.reverb.writer import SequenceWriter
from tests.replay.reverb.test_replay import make_rows
from tests.support.paths import ROOT

SHAPE = SequenceShape(16, 0, 2, 3)
SIZE = 100_000  # nothing is forgotten
# A server that is saved to the folder whenever a number is sent.
SERVER = f"""
import sys
from pathlib import Path
from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import SequenceShape
from replay.reverb.server import Disk, ReplayServer
root, step = Path(sys.argv[1]), int(sys.argv[2])
config = ReplayConfig(size={SIZE}, max_sequences_ahead={SIZE}, min_size=4, checkpoints=True)
disk = Disk(root, 0, 2, "t", None if step < -1 else step)
server = ReplayServer({{"a": SequenceShape(16, 0, 2, 3)}}, config, disk=disk)
print(server.port, flush=True)
for line in sys.stdin:
    server.save(int(line))
    print("saved", flush=True)
"""


class Served:
    """Servers that follow one another, in processes of their own, and where the one of the moment is."""

    def __init__(self, root: Path) -> None:
        self._root, self._process = root, None
        self.place = ServerAddress("")
        self.start(None)

    def start(self, step: int | None) -> None:
        """In the place of the one before, which is killed. step: to begin from; None: empty."""
        self.end()
        words = [sys.executable, "-c", SERVER, str(self._root), str(-2 if step is None else step)]
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        address = f"localhost:{self._process.stdout.readline().strip()}"
        covered = self.newest() if step is not None else {}
        self.place = ServerAddress(address, self.place.start + 1, covered)

    def save(self, step: int) -> None:
        self._process.stdin.write(f"{step}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "saved"

    def told(self) -> None:
        """Writers are told of the newest checkpoint."""
        self.place = ServerAddress(self.place.address, self.place.start, self.newest())

    def newest(self) -> dict[str, dict[int, int]]:
        return newest_rows(self.checkpoint)

    @property
    def checkpoint(self) -> Path:
        return Disk(self._root, 0, 2, "t", NEWEST).beginnings[0]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def end(self) -> None:
        if self._process is not None:
            self.kill()


@pytest.fixture
def served(tmp_path) -> Iterator[Served]:
    made = Served(tmp_path)
    yield made
    made.end()


@contextmanager
def expert(address: Callable[[], ServerAddress], block: int) -> Iterator[list[int]]:
    """Writes rows without end; yields the number of those taken so far."""
    stop, taken = threading.Event(), [0]

    def write() -> None:
        with SequenceWriter(address, "a", stop.is_set, in_flight=4, keep=SIZE) as writer:
            for number in itertools.count():
                if stop.is_set() or not writer.write(make_rows(SHAPE, 3, first_sequence(block) + 3 * number)):
                    return
                taken[0] = 3 * (number + 1)
                stop.wait(0.005)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join(timeout=60)
        assert not thread.is_alive()


def holding() -> tuple[int, int]:
    """Threads and open files of this process."""
    return psutil.Process().num_threads(), len(os.listdir("/proc/self/fd"))


def wait_until(taken: list[int], more: int) -> int:
    """Until so many more rows are taken; how many those were at first."""
    before = taken[0]
    while taken[0] < before + more:
        time.sleep(0.01)
    return before


@pytest.mark.parametrize("from_checkpoint", [True, False])
def test_whatever_was_taken_is_there_once_after_servers_died(served, from_checkpoint):
    with expert(lambda: served.place, 3) as one, expert(lambda: served.place, 7) as two:
        for round_number in range(2):
            wait_until(one, 100)
            if from_checkpoint:
                served.save(10 * round_number)
                if round_number == 0:
                    served.told()
                wait_until(two, 100)
            served.kill()
            served.start(NEWEST if from_checkpoint else None)
        taken = {3: wait_until(one, 60), 7: wait_until(two, 60)}
        served.save(99)
    rows = stored_sequences(served.checkpoint)["a"]
    assert len(set(rows)) == len(rows)
    for block, count in taken.items():
        mine = sorted(
            row - first_sequence(block)
            for row in rows
            if row >= first_sequence(block) and row < first_sequence(block + 1)
        )
        assert len(mine) >= count
        assert mine == list(range(len(mine)))


def test_rows_that_a_checkpoint_holds_are_kept_no_longer(served):
    stopped = threading.Event()
    with SequenceWriter(lambda: served.place, "a", stopped.is_set, keep=SIZE) as writer:
        writer.write(make_rows(SHAPE, 50, first_sequence(2)))
        assert len(writer._kept) == 50
        writer._send([], 0)
        served.save(5)
        served.told()
        writer.write(make_rows(SHAPE, 3, first_sequence(2) + 50))
        assert len(writer._kept) == 3


def test_without_checkpoints_writers_keep_nothing():
    assert ReplayConfig(checkpoints=False).kept_sequences == 0
    assert ReplayConfig(size=77).kept_sequences == 77


def test_a_reader_goes_on_with_every_next_server_and_leaves_nothing_behind(served):
    """Threads and open files are those of one server however many there were."""
    with expert(lambda: served.place, 1) as taken:
        stream = table_sequences(lambda: served.place, "a", SHAPE, block=4)
        held = []
        for _ in range(5):
            before = wait_until(taken, 40)
            for rows in stream:
                if rows.item_id.max() >= first_sequence(1) + before:
                    break
            held.append(holding())
            served.kill()
            served.start(None)
        # The first ones bring TensorFlow's and gRPC's own; a connection to a dead server lasts a moment longer than it.
        until = time.monotonic() + 60
        while any(late > early + 2 for early, late in zip(held[2], held[-1], strict=True)):
            assert time.monotonic() < until, held
            time.sleep(0.2)
            held.append(holding())
        stream.close()


def test_a_writer_that_begins_while_its_server_is_dead_writes_to_the_next_one(served):
    dead = served.place
    served.kill()
    written = threading.Event()

    def write() -> None:
        with SequenceWriter(lambda: served.place, "a", lambda: False, keep=SIZE) as writer:
            assert served.place.same(dead)
            writer.write(make_rows(SHAPE, 9, first_sequence(4)))
        written.set()

    threading.Thread(target=write, daemon=True).start()
    assert not written.wait(1.5)
    served.start(None)
    assert written.wait(60)


def test_a_writer_without_rows_gives_the_next_server_what_it_lacks_and_nothing_that_a_checkpoint_has(served):
    with SequenceWriter(lambda: served.place, "a", lambda: False, keep=SIZE) as writer:
        writer.write(make_rows(SHAPE, 6, first_sequence(2)))
        writer.write(None)
        served.save(5)
        writer.write(make_rows(SHAPE, 2, first_sequence(2) + 6))
        served.kill()
        served.start(NEWEST)
        assert writer.write(None)
        writer._send([], 0)
        served.save(6)
        assert sorted(stored_sequences(served.checkpoint)["a"]) == [first_sequence(2) + number for number in range(8)]
        served.kill()
        served.start(NEWEST)
        writer._send([], 0)
        served.save(7)
        assert len(stored_sequences(served.checkpoint)["a"]) == 8
