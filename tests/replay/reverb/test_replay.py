"""Writing to and reading from a real Reverb server: contents, backpressure, and its port."""

import itertools
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import portpicker
import pytest

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.errors import InputError
from gato_dist.sequence import SequenceShape
from replay.reverb import sampler, starting
from replay.reverb.sampler import table_sequences
from replay.reverb.starting import start_server
from replay.reverb.writer import SequenceWriter
from tests.support.replay_server import address, inserted, make_sequences, never
from tests.support.sequence_stream import SequenceStream

SHAPES = {"a/state": SequenceShape(length=16, tensors=2, tensor_size=3), "b/image": SequenceShape(length=16, patches=4)}
CONFIG = ReplayConfig(size=64, max_sequences_ahead=20, min_size=4, samples_per_insert=2.0)


@pytest.fixture
def server():
    made = start_server(SHAPES, CONFIG)
    yield made
    made.stop()


@pytest.fixture
def taken():
    """A port on which another program listens."""
    with socket.create_server(("", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_in_use_is_refused_by_its_key(server, monkeypatch):
    # The port of another Reverb too: both would listen there, and each connection would reach either of the two.
    monkeypatch.setattr(starting, "PORT_SECONDS", 0.5)
    with pytest.raises(InputError, match=rf"^replay\.port: {server.port} is in use or not allowed; give another"):
        start_server(SHAPES, CONFIG.model_copy(update={"port": server.port}))


def test_a_port_that_is_released_soon_is_waited_for():
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        threading.Timer(1.0, other.close).start()
        server = start_server(SHAPES, CONFIG.model_copy(update={"port": port}))
    assert server.port == port
    server.stop()


def test_another_free_port_is_used_if_the_first_is_taken_meanwhile(monkeypatch, taken):
    found, free = [], portpicker.pick_unused_port

    def pick() -> int:
        found.append(free() if found else taken)
        return found[-1]

    monkeypatch.setattr(portpicker, "pick_unused_port", pick)
    server = start_server(SHAPES, CONFIG)
    assert server.port == found[1]
    server.stop()


@contextmanager
def continuing_expert(server, table: str):
    """Writes a sequence every half second, numbered from 1000: Reverb 0.14 may wake a reader only for the next one."""
    done = threading.Event()

    def write() -> None:
        with SequenceWriter(address(server), table, done.is_set, in_flight=1) as writer:
            for number in itertools.count(1000):
                if not writer.write(make_sequences(SHAPES[table], 1, number)) or done.wait(0.5):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    yield
    done.set()
    thread.join(timeout=20)


def test_sequences_are_read_as_they_were_written(server):
    for table, shape in SHAPES.items():
        sequences = make_sequences(shape, 12)
        with SequenceWriter(address(server), table, never) as writer:
            assert writer.write(sequences)
        with continuing_expert(server, table):
            read = SequenceStream(table_sequences(address(server), table, shape, block=4)).take(6)
        for index, item in enumerate(read.item_id):
            written = sequences.item(int(item)) if item < 1000 else make_sequences(shape, 1, int(item)).item(0)
            found = read.item(index)
            assert all(np.array_equal(written[name], found[name]) for name in written)


def test_a_writer_waits_for_the_reader(server):
    stop, written = threading.Event(), []

    def write_without_end() -> None:
        with SequenceWriter(address(server), "a/state", stop.is_set, in_flight=1) as writer:
            while writer.write(make_sequences(SHAPES["a/state"], 1, len(written))):
                written.append(time.monotonic())

    thread = threading.Thread(target=write_without_end)
    thread.start()
    time.sleep(2)
    held = inserted(server, "a/state")
    assert held == CONFIG.max_sequences_ahead
    stream = SequenceStream(table_sequences(address(server), "a/state", SHAPES["a/state"], block=4))
    stream.take(16)
    time.sleep(2)
    # Two samples admit one more sequence; the sampler itself reads a few blocks ahead.
    assert held + 8 <= inserted(server, "a/state") <= held + 40
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_sampling_waits_only_for_the_first_sequences(server):
    """samples_per_insert holds back the writer, but not the reader: it gets 64 samples of at most 20 sequences."""
    got = threading.Event()

    def read() -> None:
        SequenceStream(table_sequences(address(server), "a/state", SHAPES["a/state"], block=4)).take(64)
        got.set()

    threading.Thread(target=read, daemon=True).start()
    with SequenceWriter(address(server), "a/state", never) as writer:
        writer.write(make_sequences(SHAPES["a/state"], CONFIG.min_size - 1))
        assert not got.wait(4)
    with continuing_expert(server, "a/state"):
        assert got.wait(60)


def test_closing_a_writer_loses_no_sequence():
    for _ in range(8):
        server = start_server({"a/state": SHAPES["a/state"]}, ReplayConfig())
        with SequenceWriter(address(server), "a/state", never) as writer:
            writer.write(make_sequences(SHAPES["a/state"], 40))
        assert inserted(server, "a/state") == 40
        server.stop()


def test_sequences_of_another_size_than_the_tables_are_refused(server):
    with pytest.raises(ValueError, match="signature"), SequenceWriter(address(server), "a/state", never) as writer:
        writer.write(make_sequences(SHAPES["b/image"], 1))


def test_a_reader_waits_for_a_table_that_stays_empty_for_long(server, monkeypatch):
    monkeypatch.setattr(sampler, "IDLE_MS", 200)
    stream = table_sequences(address(server), "a/state", SHAPES["a/state"], block=2)
    late = threading.Timer(
        1.5, SequenceWriter(address(server), "a/state", never).write, [make_sequences(SHAPES["a/state"], 8)]
    )
    late.start()
    assert len(next(stream)) == 2
    late.join()
    stream.close()
