"""Batches for the learner from data at rest: shuffled, shared among workers, and taken up again exactly.

A batch is made of lanes. Each lane reads a share of its own of every source, so that the batches of a run are the same
however many workers and loader processes divide the lanes among them, and nothing is seen twice in an epoch. A lane's
order is cut into chunks, which are functions of their number alone: where a lane stands is two integers a source.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise
from typing import Protocol

import numpy as np

from gato_dist.sequence import Batch, DataPosition, Sequences, collate
from replay.reverb.sampler import join_sequences, slice_sequences


class Chunks(Protocol):
    """A source's data in chunks that are numbered from 0, without end.

    Attributes:
        damaged: documents that were skipped so far.
    """

    @property
    def damaged(self) -> int: ...

    def __call__(self, number: int, /) -> Sequences: ...


@dataclass(frozen=True)
class Source:
    """Data of one task of the mixture. open: (lane, lanes) → the rows of that lane's chunk 0, 1, 2 …, without end."""

    task: int
    weight: float
    open: Callable[[int, int], Chunks]


class LaneStream:
    """Any number of rows at a time from chunks; begins at (chunk, row)."""

    def __init__(self, chunks: Chunks, chunk: int = 0, row: int = 0) -> None:
        self._chunks, self._chunk, self._row = chunks, chunk, row
        self._rows: Sequences | None = None

    def take(self, count: int) -> Sequences:
        """The next `count` rows."""
        parts: list[Sequences] = []
        while count:
            if self._rows is None:
                self._rows = self._chunks(self._chunk)
            parts.append(slice_sequences(self._rows, self._row, min(self._row + count, len(self._rows))))
            self._row += len(parts[-1])
            count -= len(parts[-1])
            if self._row >= len(self._rows):
                self._chunk, self._row, self._rows = self._chunk + 1, 0, None
        return join_sequences([part for part in parts if len(part)])

    @property
    def cursor(self) -> tuple[int, int]:
        return self._chunk, self._row

    @property
    def damaged(self) -> int:
        """Documents that were skipped since this was made; episodes never are."""
        return self._chunks.damaged


class LaneBatches:
    """Endless batches of some of a run's lanes.

    rows: of each lane in a batch. lanes: which of the `of` lanes; position: where all of them begin.
    A row's source is drawn by weight, from a generator of its own for every lane and batch.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        lanes: Sequence[int],
        of: int,
        rows: int,
        tensor_size: int,
        position: DataPosition,
    ) -> None:
        self._sources, self._lanes, self._rows = sources, lanes, rows
        self._tensor_size, self._seed, self._batches = tensor_size, position.seed, position.batches
        weights = np.array([source.weight for source in sources])
        self._shares = weights / weights.sum()
        self._streams = [
            [LaneStream(source.open(lane, of), *position.cursor[lane, i].tolist()) for i, source in enumerate(sources)]
            for lane in lanes
        ]

    def __iter__(self) -> Iterator[Batch]:
        for number in count(self._batches):
            parts = []
            for lane, streams in zip(self._lanes, self._streams, strict=True):
                draws = np.random.default_rng([self._seed, lane, number]).multinomial(self._rows, self._shares)
                for source, stream, draw in zip(self._sources, streams, draws, strict=True):
                    if draw:
                        parts.append((source.task, stream.take(int(draw))))
            batch = collate(parts, self._tensor_size)
            batch.cursor = np.array([[stream.cursor for stream in streams] for streams in self._streams], np.int64)
            batch.damaged = np.array([[stream.damaged for stream in streams] for streams in self._streams], np.int64)
            yield batch


def load_batches(
    sources: Sequence[Source],
    batch: int,
    lanes: int,
    tensor_size: int,
    position: DataPosition,
    rank: int = 0,
    workers: int = 1,
    loaders: int = 0,
) -> Iterator[Batch]:
    """Worker `rank`'s share of global batches of `batch` rows. loaders: processes that read; 0: this one does.

    Each batch carries the cursor of this worker's lanes. Raises InputError where data are damaged.
    """
    own = range(rank * lanes // workers, (rank + 1) * lanes // workers)
    make = partial(LaneBatches, sources, of=lanes, rows=batch // lanes, tensor_size=tensor_size, position=position)
    if not loaders:
        return iter(make(own))
    from replay.processes import in_processes

    cuts = np.linspace(0, len(own), min(loaders, len(own)) + 1).astype(int)
    parts = [own[first:end] for first, end in pairwise(cuts)]
    return in_processes([partial(make, part) for part in parts])
