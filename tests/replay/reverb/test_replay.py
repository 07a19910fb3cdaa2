"""Replay on a real Reverb server: what is written is read, no faster than it is wanted, in the right mixture."""

import itertools
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import portpicker
import pytest

from gato_dist.config.sections import ReplayConfig
from gato_dist.errors import InputError
from gato_dist.sequence import Sequences, SequenceShape
from gato_dist.sources import Guidance, Source
from replay.mixture import MixtureBatches, Stream
from replay.reverb import sampler, tables
from replay.reverb.sampler import SequenceStream, table_sequences
from replay.reverb.tables import start_server, table_metrics
from replay.reverb.writer import SequenceWriter
from replay.usage import Usage, bin_name, bins_of

SHAPES = {"a/state": SequenceShape(16, 0, 2, 3), "b/image": SequenceShape(16, 4, 0, 0)}
CONFIG = ReplayConfig(size=64, ahead=20, min_size=4, samples_per_insert=2.0)


def make_rows(shape: SequenceShape, count: int, first: int = 0) -> Sequences:
    rng = np.random.default_rng(first)
    arrays = {
        name: rng.integers(0, 2, size=(count, *dims)).astype(dtype)
        for name, (dims, dtype) in Sequences.signature(shape).items()
    }
    arrays["item_id"] = np.arange(first, first + count)
    arrays["segment"][:] = 0
    return Sequences(**arrays)


@pytest.fixture
def server():
    made = start_server(SHAPES, CONFIG)
    yield made
    made.stop()


@pytest.fixture
def taken():
    """A port that somebody listens at who does not share it."""
    with socket.create_server(("", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_that_is_taken_is_refused_by_its_key(server, monkeypatch):
    # Of another Reverb, too: both would listen there, and each connection find one or the other.
    monkeypatch.setattr(tables, "PORT_SECONDS", 0.5)
    with pytest.raises(InputError, match=rf"^replay\.port: {server.port} is in use or not allowed; give another"):
        start_server(SHAPES, CONFIG.model_copy(update={"port": server.port}))


def test_a_port_that_is_given_back_in_a_moment_is_waited_for():
    with socket.create_server(("", 0)) as other:
        port = other.getsockname()[1]
        threading.Timer(1.0, other.close).start()
        server = start_server(SHAPES, CONFIG.model_copy(update={"port": port}))
    assert server.port == port
    server.stop()


def test_a_free_port_that_somebody_takes_first_is_not_the_last_that_is_tried(monkeypatch, taken):
    found, free = [], portpicker.pick_unused_port

    def pick() -> int:
        found.append(free() if found else taken)
        return found[-1]

    monkeypatch.setattr(portpicker, "pick_unused_port", pick)
    server = start_server(SHAPES, CONFIG)
    assert server.port == found[1]
    server.stop()


def address(server) -> str:
    return f"localhost:{server.port}"


def inserted(server, table: str) -> int:
    return table_metrics(server.localhost_client().server_info())[table].inserted


def never() -> bool:
    return False


@contextmanager
def experts_going_on(server, table: str):
    """A row now and then, numbered from 1000. Reverb 0.14 may leave a reader asleep until the next row comes."""
    done = threading.Event()

    def write() -> None:
        with SequenceWriter(address(server), table, done.is_set, in_flight=1) as writer:
            for number in itertools.count(1000):
                if not writer.write(make_rows(SHAPES[table], 1, number)) or done.wait(0.5):
                    return

    thread = threading.Thread(target=write)
    thread.start()
    yield
    done.set()
    thread.join(timeout=20)


def test_what_is_read_is_what_was_written(server):
    for table, shape in SHAPES.items():
        rows = make_rows(shape, 12)
        with SequenceWriter(address(server), table, never) as writer:
            assert writer.write(rows)
        with experts_going_on(server, table):
            read = SequenceStream(table_sequences(address(server), table, shape, block=4)).take(6)
        for index, item in enumerate(read.item_id):
            written = rows.row(int(item)) if item < 1000 else make_rows(shape, 1, int(item)).row(0)
            found = read.row(index)
            assert all(np.array_equal(written[name], found[name]) for name in written)


def test_a_writer_waits_for_the_reader(server):
    stop, written = threading.Event(), []

    def write_for_ever() -> None:
        with SequenceWriter(address(server), "a/state", stop.is_set, in_flight=1) as writer:
            while writer.write(make_rows(SHAPES["a/state"], 1, len(written))):
                written.append(time.monotonic())

    thread = threading.Thread(target=write_for_ever)
    thread.start()
    time.sleep(2)
    held = inserted(server, "a/state")
    assert held == CONFIG.ahead
    stream = SequenceStream(table_sequences(address(server), "a/state", SHAPES["a/state"], block=4))
    stream.take(16)
    time.sleep(2)
    # Two samples let one more row in; the sampler itself fetches a few blocks ahead.
    assert held + 8 <= inserted(server, "a/state") <= held + 40
    stop.set()
    thread.join(timeout=10)
    assert not thread.is_alive()


def test_sampling_waits_for_the_first_rows_and_then_never_again(server):
    """64 samples of at most 20 rows are more than samples_per_insert allows for: only the writer is held back by it."""
    got = threading.Event()

    def read() -> None:
        SequenceStream(table_sequences(address(server), "a/state", SHAPES["a/state"], block=4)).take(64)
        got.set()

    threading.Thread(target=read, daemon=True).start()
    with SequenceWriter(address(server), "a/state", never) as writer:
        writer.write(make_rows(SHAPES["a/state"], CONFIG.min_size - 1))
        assert not got.wait(4)
    with experts_going_on(server, "a/state"):
        assert got.wait(60)


def test_closing_a_writer_loses_no_row():
    for _ in range(8):
        server = start_server({"a/state": SHAPES["a/state"]}, ReplayConfig())
        with SequenceWriter(address(server), "a/state", never) as writer:
            writer.write(make_rows(SHAPES["a/state"], 40))
        assert inserted(server, "a/state") == 40
        server.stop()


def test_rows_that_do_not_fit_their_table_are_refused(server):
    with pytest.raises(ValueError, match="signature"), SequenceWriter(address(server), "a/state", never) as writer:
        writer.write(make_rows(SHAPES["b/image"], 1))


def blocks(task: int):
    shape = list(SHAPES.values())[task]
    first = 0
    while True:
        yield make_rows(shape, 3 + task, first)
        first += 10


def test_the_mixture_follows_the_weights():
    batches = iter(MixtureBatches([Stream(0, 1.0, blocks(0)), Stream(1, 3.0, blocks(1))], 32, 3, seed=0))
    drawn = np.concatenate([next(batches).task for _ in range(100)])
    # 3200 draws of probability 3/4: a standard deviation of 0.008.
    assert np.mean(drawn == 1) == pytest.approx(0.75, abs=0.03)


def test_a_mixture_reproduces_from_its_seed():
    def draw(seed: int) -> list[list[int]]:
        batches = iter(MixtureBatches([Stream(0, 1.0, blocks(0)), Stream(1, 1.0, blocks(1))], 8, 3, seed))
        return [next(batches).task.tolist() for _ in range(5)]

    assert draw(1) == draw(1) != draw(2)


def test_a_stream_hands_out_every_row_once_and_in_order():
    stream = SequenceStream(blocks(0))
    ids = np.concatenate([stream.take(count).item_id for count in (1, 5, 2, 7)])
    assert ids.tolist() == [10 * (i // 3) + i % 3 for i in range(15)]


SHARES = {Source.EXPERT: 0.2, Source.RELABELLED: 0.6, Source.SELF: 0.2}


def no_rows():
    threading.Event().wait()
    yield


def mixture(relabelled, own, **options) -> MixtureBatches:
    streams = [
        Stream(0, 1.0, blocks(0)), Stream(0, 1.0, relabelled, Source.RELABELLED), Stream(0, 1.0, own, Source.SELF),
        Stream(1, 3.0, blocks(1)),
    ]  # fmt: skip
    return MixtureBatches(streams, 32, 3, 0, lambda progress: SHARES, **options)


def until_ready(mixed: MixtureBatches, wanted: list[float]) -> None:
    for _ in range(200):
        if mixed.shares(Guidance()) == pytest.approx(wanted):
            return
        time.sleep(0.01)
    assert mixed.shares(Guidance()) == pytest.approx(wanted)


def test_a_source_without_rows_gives_its_share_to_its_tasks_others_and_is_not_waited_for():
    until_ready(mixture(no_rows(), no_rows()), [0.25, 0, 0, 0.75])
    until_ready(mixture(blocks(0), no_rows()), [0.25 * 0.25, 0.25 * 0.75, 0, 0.75])
    until_ready(mixture(blocks(0), blocks(0)), [0.25 * 0.2, 0.25 * 0.6, 0.25 * 0.2, 0.75])
    drawn = [next(iter(mixture(no_rows(), no_rows()))) for _ in range(3)]
    assert {len(batch.token) for batch in drawn} == {32}


def test_weights_that_follow_the_scores_leave_shares_within_a_task_as_they_are():
    mixed = mixture(no_rows(), no_rows())
    assert mixed.shares(Guidance(factors=(3.0, 1.0))) == pytest.approx([0.5, 0, 0, 0.5])


def test_what_is_drawn_is_counted_by_source_and_age():
    usage = Usage(["a", "b"])
    batches = iter(mixture(itertools.islice(blocks(0), 3), no_rows(), usage=usage, guide=lambda: Guidance(0.0, 6)))
    for _ in range(40):
        next(batches)
    counted = usage.counts()
    assert sum(n for name, n in counted.items() if name.startswith("rows/")) == 40 * 32
    # Three blocks of three rows, and no more came.
    assert counted.get("rows/relabelled/a", 0) <= 9
    assert [bin_name(int(bins_of(np.array([lag]))[0])) for lag in (0, 1, 3, 4, 9999)] == [
        "0",
        "1",
        "2–3",
        "4–7",
        "4096+",
    ]


def rows_after(opened: threading.Event):
    opened.wait()
    yield from blocks(1)


def test_first_rows_are_waited_for():
    opened = threading.Event()
    batches = iter(MixtureBatches([Stream(0, 1.0, blocks(0)), Stream(1, 3.0, rows_after(opened))], 32, 3, 0))
    threading.Timer(0.5, opened.set).start()
    assert 1 in next(batches).task


def test_nobody_waits_for_the_first_rows_of_a_task_in_trouble_and_they_are_taken_once_they_come():
    opened, troubled = threading.Event(), frozenset[int]()
    streams = [Stream(0, 1.0, blocks(0)), Stream(1, 3.0, rows_after(opened))]
    batches = iter(MixtureBatches(streams, 32, 3, 0, guide=lambda: Guidance(failed_tasks=troubled)))
    drawn: list[np.ndarray] = []
    thread = threading.Thread(target=lambda: drawn.append(next(batches).task))
    thread.start()
    time.sleep(0.5)
    assert not drawn
    troubled = frozenset({1})
    thread.join(timeout=60)
    assert drawn[0].tolist() == [0] * 32
    opened.set()
    until = time.monotonic() + 60
    while 1 not in (task := next(batches).task):
        assert len(task) == 32
        assert time.monotonic() < until


def test_first_rows_are_waited_for_no_longer_than_patience_in_all():
    streams = [Stream(0, 1.0, blocks(0)), *(Stream(task, 1.0, no_rows()) for task in range(1, 40))]
    batches = iter(MixtureBatches(streams, 32, 3, 0, patience=1.0))
    began = time.monotonic()
    assert next(batches).task.tolist() == [0] * 32
    assert 1.0 <= time.monotonic() - began < 30.0


def test_a_task_that_dries_up_leaves_its_share_to_the_others(monkeypatch):
    monkeypatch.setattr("replay.mixture.DRY_SECONDS", 0.3)

    def few():
        yield make_rows(SHAPES["b/image"], 40)
        threading.Event().wait()

    batches = iter(MixtureBatches([Stream(0, 1.0, blocks(0)), Stream(1, 1.0, few())], 32, 3, 0))
    drawn = np.concatenate([next(batches).task for _ in range(10)])
    assert (drawn == 1).sum() == 40
    assert len(drawn) == 320


def test_a_reader_outlasts_a_table_that_stays_empty_for_long(server, monkeypatch):
    monkeypatch.setattr(sampler, "IDLE_MS", 200)
    stream = table_sequences(address(server), "a/state", SHAPES["a/state"], block=2)
    late = threading.Timer(
        1.5, SequenceWriter(address(server), "a/state", never).write, [make_rows(SHAPES["a/state"], 8)]
    )
    late.start()
    assert len(next(stream)) == 2
    late.join()
    stream.close()
