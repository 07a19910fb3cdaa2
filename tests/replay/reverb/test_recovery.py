"""A killed replay server is replaced: writers and readers continue, and no sequence is lost or stored twice."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.seeds import first_sequence, sequence_block
from gato_dist.sequence import SequenceShape
from replay.reverb.addresses import ServerAddress
from replay.reverb.checkpoints import newest_item_ids, stored_item_ids
from replay.reverb.sampler import table_sequences
from replay.reverb.server import NEWEST, CheckpointSettings
from replay.reverb.writer import SequenceWriter
from tests.support.paths import ROOT
from tests.support.replay_server import make_sequences

SHAPE = SequenceShape(length=16, tensors=2, tensor_size=3)
SIZE = 100_000  # nothing is forgotten
# A server that writes a checkpoint of a step whenever it reads the step's number.
SERVER = f"""
import sys
from pathlib import Path
from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import SequenceShape
from replay.reverb.server import CheckpointSettings, ReplayServer
root, step = Path(sys.argv[1]), int(sys.argv[2])
config = ReplayConfig(size={SIZE}, max_sequences_ahead={SIZE}, min_size=4, checkpoints=True)
checkpoints = CheckpointSettings(root, 0, 2, "t", None if step < -1 else step)
server = ReplayServer({{"a": SequenceShape(length=16, tensors=2, tensor_size=3)}}, config, checkpoints=checkpoints)
print(server.port, flush=True)
for line in sys.stdin:
    server.save(int(line))
    print("saved", flush=True)
"""


class Served:
    """Runs a replay server in another process, and replaces it.

    Attributes:
        address: of the current server.
    """

    def __init__(self, root: Path) -> None:
        self._root, self._process = root, None
        self.address = ServerAddress("")
        self.start(None)

    def start(self, step: int | None) -> None:
        """Replaces the current server, which is killed. step: of the checkpoint to restore; None for none."""
        self.end()
        command = [sys.executable, "-c", SERVER, str(self._root), str(-2 if step is None else step)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT
        )
        host_port = f"localhost:{self._process.stdout.readline().strip()}"
        covered = self.newest() if step is not None else {}
        self.address = ServerAddress(host_port, self.address.generation + 1, covered)

    def save(self, step: int) -> None:
        self._process.stdin.write(f"{step}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == "saved"

    def announce_checkpoint(self) -> None:
        """Writers learn which sequences the newest checkpoint holds."""
        self.address = replace(self.address, covered=self.newest())

    def newest(self) -> dict[str, dict[int, int]]:
        return newest_item_ids(self.checkpoint)

    @property
    def checkpoint(self) -> Path:
        return CheckpointSettings(self._root, 0, 2, "t", NEWEST).candidates[0]

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
    """Writes sequences without end. Yields a list whose only element is the number that the table has accepted."""
    stop, taken = threading.Event(), [0]

    def write() -> None:
        with SequenceWriter(address, "a", stop.is_set, in_flight=4, keep=SIZE) as writer:
            for number in itertools.count():
                if stop.is_set() or not writer.write(make_sequences(SHAPE, 3, first_sequence(block) + 3 * number)):
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
    """Returns the number of threads and of open files of this process."""
    return psutil.Process().num_threads(), len(os.listdir("/proc/self/fd"))


def wait_until(taken: list[int], more: int) -> int:
    """Waits until `more` sequences are accepted. Returns how many there were before."""
    before = taken[0]
    while taken[0] < before + more:
        time.sleep(0.01)
    return before


@pytest.mark.parametrize("from_checkpoint", [True, False])
def test_every_accepted_sequence_is_stored_once_after_servers_died(served, from_checkpoint):
    with expert(lambda: served.address, 3) as one, expert(lambda: served.address, 7) as two:
        for round_number in range(2):
            wait_until(one, 100)
            if from_checkpoint:
                served.save(10 * round_number)
                if round_number == 0:
                    served.announce_checkpoint()
                wait_until(two, 100)
            served.kill()
            served.start(NEWEST if from_checkpoint else None)
        taken = {3: wait_until(one, 60), 7: wait_until(two, 60)}
        served.save(99)
    stored = stored_item_ids(served.checkpoint)["a"]
    assert len(set(stored)) == len(stored)
    for block, count in taken.items():
        mine = sorted(item_id - first_sequence(block) for item_id in stored if sequence_block(item_id) == block)
        assert len(mine) >= count
        assert mine == list(range(len(mine)))


def test_a_writer_forgets_sequences_that_a_checkpoint_holds(served):
    stopped = threading.Event()
    with SequenceWriter(lambda: served.address, "a", stopped.is_set, keep=SIZE) as writer:
        writer.write(make_sequences(SHAPE, 50, first_sequence(2)))
        assert len(writer._kept) == 50
        writer._send([], 0)
        served.save(5)
        served.announce_checkpoint()
        writer.write(make_sequences(SHAPE, 3, first_sequence(2) + 50))
        assert len(writer._kept) == 3


def test_writers_keep_nothing_without_checkpoints():
    assert ReplayConfig(checkpoints=False).kept_sequences == 0
    assert ReplayConfig(size=77).kept_sequences == 77


def test_a_reader_continues_with_each_new_server_and_leaks_nothing(served):
    """The number of threads and open files does not grow with the number of servers."""
    with expert(lambda: served.address, 1) as taken:
        stream = table_sequences(lambda: served.address, "a", SHAPE, block=4)
        held = []
        for _ in range(5):
            before = wait_until(taken, 40)
            for sequences in stream:
                if sequences.item_id.max() >= first_sequence(1) + before:
                    break
            held.append(holding())
            served.kill()
            served.start(None)
        # The first servers also start threads of TensorFlow and gRPC. Connections to dead servers close with a delay.
        until = time.monotonic() + 60
        while any(late > early + 2 for early, late in zip(held[2], held[-1], strict=True)):
            assert time.monotonic() < until, held
            time.sleep(0.2)
            held.append(holding())
        stream.close()


def test_a_writer_that_starts_while_its_server_is_dead_writes_to_the_next(served):
    dead = served.address
    served.kill()
    written = threading.Event()

    def write() -> None:
        with SequenceWriter(lambda: served.address, "a", lambda: False, keep=SIZE) as writer:
            assert served.address.is_same_server(dead)
            writer.write(make_sequences(SHAPE, 9, first_sequence(4)))
        written.set()

    threading.Thread(target=write, daemon=True).start()
    assert not written.wait(1.5)
    served.start(None)
    assert written.wait(60)


def test_an_idle_writer_sends_a_new_server_only_what_its_checkpoint_lacks(served):
    with SequenceWriter(lambda: served.address, "a", lambda: False, keep=SIZE) as writer:
        writer.write(make_sequences(SHAPE, 6, first_sequence(2)))
        writer.write(None)
        served.save(5)
        writer.write(make_sequences(SHAPE, 2, first_sequence(2) + 6))
        served.kill()
        served.start(NEWEST)
        assert writer.write(None)
        writer._send([], 0)
        served.save(6)
        assert sorted(stored_item_ids(served.checkpoint)["a"]) == [first_sequence(2) + number for number in range(8)]
        served.kill()
        served.start(NEWEST)
        writer._send([], 0)
        served.save(7)
        assert len(stored_item_ids(served.checkpoint)["a"]) == 8
