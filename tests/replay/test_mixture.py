"""Mixing of tasks and sources: shares, waiting for experts, and what stands in for missing sequences."""

import itertools
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gato_dist.sequence import Sequences, SequenceShape
from gato_dist.sources import Guidance, Source
from replay.mixture import MixtureBatches, TaskStream
from replay.usage import Usage, bin_name, bins_of
from tests.support.replay_server import make_sequences
from tests.support.sequence_stream import SequenceStream

SHAPES = {"a/state": SequenceShape(length=16, tensors=2, tensor_size=3), "b/image": SequenceShape(length=16, patches=4)}


def mix(streams: list[TaskStream], *, batch: int = 32, seed: int = 0, **options: Any) -> MixtureBatches:
    return MixtureBatches(streams, batch=batch, tensor_size=3, seed=seed, **options)


def blocks(task: int) -> Iterator[Sequences]:
    """Yields blocks of 3 or 4 sequences, without end. Item ids of block n start at 10 n."""
    shape = list(SHAPES.values())[task]
    first = 0
    while True:
        yield make_sequences(shape, 3 + task, first)
        first += 10


def test_tasks_are_drawn_by_their_weights():
    batches = iter(mix([TaskStream(0, 1.0, blocks(0)), TaskStream(1, 3.0, blocks(1))]))
    drawn = np.concatenate([next(batches).task for _ in range(100)])
    # 3200 draws of probability 3/4: a standard deviation of 0.008.
    assert np.mean(drawn == 1) == pytest.approx(0.75, abs=0.03)


def test_a_mixture_is_reproducible_from_its_seed():
    def draw(seed: int) -> list[list[int]]:
        batches = iter(mix([TaskStream(0, 1.0, blocks(0)), TaskStream(1, 1.0, blocks(1))], batch=8, seed=seed))
        return [next(batches).task.tolist() for _ in range(5)]

    assert draw(1) == draw(1) != draw(2)


def test_a_stream_hands_out_every_sequence_once_and_in_order():
    stream = SequenceStream(blocks(0))
    ids = np.concatenate([stream.take(count).item_id for count in (1, 5, 2, 7)])
    assert ids.tolist() == [10 * (i // 3) + i % 3 for i in range(15)]


SHARES = {Source.EXPERT: 0.2, Source.RELABELLED: 0.6, Source.SELF: 0.2}


def no_blocks() -> Iterator[Sequences]:
    threading.Event().wait()
    yield


def two_tasks(relabelled: Iterator[Sequences], own: Iterator[Sequences], **options: Any) -> MixtureBatches:
    """Mixes a task with three sources and, with three times its weight, a task with experts only."""
    streams = [
        TaskStream(0, 1.0, blocks(0)),
        TaskStream(0, 1.0, relabelled, Source.RELABELLED),
        TaskStream(0, 1.0, own, Source.SELF),
        TaskStream(1, 3.0, blocks(1)),
    ]
    return mix(streams, source_shares=lambda progress: SHARES, **options)


def until_ready(mixed: MixtureBatches, wanted: list[float]) -> None:
    for _ in range(200):
        if mixed.shares(Guidance()) == pytest.approx(wanted):
            return
        time.sleep(0.01)
    assert mixed.shares(Guidance()) == pytest.approx(wanted)


def test_the_share_of_an_empty_source_goes_to_other_sources_of_its_task_without_waiting():
    until_ready(two_tasks(no_blocks(), no_blocks()), [0.25, 0, 0, 0.75])
    until_ready(two_tasks(blocks(0), no_blocks()), [0.25 * 0.25, 0.25 * 0.75, 0, 0.75])
    until_ready(two_tasks(blocks(0), blocks(0)), [0.25 * 0.2, 0.25 * 0.6, 0.25 * 0.2, 0.75])
    drawn = [next(iter(two_tasks(no_blocks(), no_blocks()))) for _ in range(3)]
    assert {len(batch.token) for batch in drawn} == {32}


def test_task_factors_do_not_change_shares_within_a_task():
    mixed = two_tasks(no_blocks(), no_blocks())
    assert mixed.shares(Guidance(factors=(3.0, 1.0))) == pytest.approx([0.5, 0, 0, 0.5])


def test_drawn_sequences_are_counted_by_source_and_age():
    usage = Usage(["a", "b"])
    batches = iter(two_tasks(itertools.islice(blocks(0), 3), no_blocks(), usage=usage, guide=lambda: Guidance(0.0, 6)))
    for _ in range(40):
        next(batches)
    counted = usage.counts()
    assert sum(n for name, n in counted.items() if name.startswith("rows/")) == 40 * 32
    # There were three blocks of three sequences.
    assert counted.get("rows/relabelled/a", 0) <= 9
    assert [bin_name(int(bins_of(np.array([lag]))[0])) for lag in (0, 1, 3, 4, 9999)] == [
        "0",
        "1",
        "2–3",
        "4–7",
        "4096+",
    ]


def blocks_after(opened: threading.Event) -> Iterator[Sequences]:
    opened.wait()
    yield from blocks(1)


def test_first_sequences_are_waited_for():
    opened = threading.Event()
    batches = iter(mix([TaskStream(0, 1.0, blocks(0)), TaskStream(1, 3.0, blocks_after(opened))]))
    threading.Timer(0.5, opened.set).start()
    assert 1 in next(batches).task


def test_a_troubled_task_is_not_waited_for_but_used_once_it_has_sequences():
    opened, troubled = threading.Event(), frozenset[int]()
    streams = [TaskStream(0, 1.0, blocks(0)), TaskStream(1, 3.0, blocks_after(opened))]
    batches = iter(mix(streams, guide=lambda: Guidance(failed_tasks=troubled)))
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


def test_all_first_sequences_together_are_waited_for_no_longer_than_patience():
    streams = [TaskStream(0, 1.0, blocks(0)), *(TaskStream(task, 1.0, no_blocks()) for task in range(1, 40))]
    batches = iter(mix(streams, patience=1.0))
    began = time.monotonic()
    assert next(batches).task.tolist() == [0] * 32
    assert 1.0 <= time.monotonic() - began < 30.0


def test_the_share_of_a_task_that_dries_up_goes_to_the_others(monkeypatch):
    monkeypatch.setattr("replay.mixture.DRY_SECONDS", 0.3)

    def few():
        yield make_sequences(SHAPES["b/image"], 40)
        threading.Event().wait()

    batches = iter(mix([TaskStream(0, 1.0, blocks(0)), TaskStream(1, 1.0, few())]))
    drawn = np.concatenate([next(batches).task for _ in range(10)])
    assert (drawn == 1).sum() == 40
    assert len(drawn) == 320
