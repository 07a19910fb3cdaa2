"""Batches for the learner from data on disk: shuffled, divided among workers, and resumable at any batch.

A batch is made of lanes. Each lane reads its own share of every source. So the batches of a run are the same however
many workers and loader processes divide the lanes among them, and nothing is read twice in an epoch. A lane's order is
cut into chunks, and a chunk depends only on its number: the position of a lane is two integers for each source.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count, pairwise
from typing import Protocol

import numpy as np

from gato_dist.sequence import Batch, DataPosition, Sequences, collate
from replay.sequence_blocks import join_sequences


class Chunks(Protocol):
    """The sequences of one lane, in chunks 0, 1, 2 …, without end. A chunk depends only on its number.

    Attributes:
        damaged: how many damaged documents were skipped so far.
    """

    @property
    def damaged(self) -> int: ...

    def __call__(self, number: int) -> Sequences:
        """Returns the sequences of a chunk; there may be none.

        Raises:
            InputError: the data are damaged.
        """
        ...


class OpenLane(Protocol):
    """Opens one lane of a source."""

    def __call__(self, *, lane: int, lanes: int) -> Chunks: ...


@dataclass(frozen=True)
class DiskSource:
    """The data on disk of one task or corpus.

    Attributes:
        task: index among the tasks and corpora of the run.
        weight: proportional to its share of sequences in batches.
        open: opens lane `lane` of `lanes`. Must be picklable for loader processes.
    """

    task: int
    weight: float
    open: OpenLane


class LaneStream:
    """Hands out the sequences of one lane of a source, in order.

    Args:
        chunks: the lane.
        chunk: the chunk to start at.
        sequence: index of the first sequence in that chunk.
    """

    def __init__(self, chunks: Chunks, chunk: int = 0, sequence: int = 0) -> None:
        self._chunks, self._chunk, self._sequence = chunks, chunk, sequence
        self._loaded: Sequences | None = None

    def take(self, count: int) -> Sequences:
        """Returns the next `count` sequences."""
        parts: list[Sequences] = []
        while count:
            if self._loaded is None:
                self._loaded = self._chunks(self._chunk)
            parts.append(self._loaded.take(slice(self._sequence, self._sequence + count)))
            self._sequence += len(parts[-1])
            count -= len(parts[-1])
            if self._sequence >= len(self._loaded):
                self._chunk, self._sequence, self._loaded = self._chunk + 1, 0, None
        return join_sequences([part for part in parts if len(part)])

    @property
    def cursor(self) -> tuple[int, int]:
        """The chunk of the next sequence, and its index there."""
        return self._chunk, self._sequence

    @property
    def damaged(self) -> int:
        """How many damaged documents this stream skipped."""
        return self._chunks.damaged


class LaneBatches:
    """Endless batches of some of a run's lanes.

    The number of sequences from each source is drawn by weight. Every lane and batch has a random generator of its own.

    Args:
        sources: what to read.
        lanes: numbers of the lanes to read.
        total_lanes: number of all lanes.
        lane_sequences: sequences of each lane in a batch.
        tensor_size: the width that compact tensors are padded to.
        position: where all lanes start.
    """

    def __init__(
        self,
        sources: Sequence[DiskSource],
        lanes: Sequence[int],
        *,
        total_lanes: int,
        lane_sequences: int,
        tensor_size: int,
        position: DataPosition,
    ) -> None:
        self._sources, self._lanes, self._lane_sequences = sources, lanes, lane_sequences
        self._tensor_size, self._seed, self._batches = tensor_size, position.seed, position.batches
        weights = np.array([source.weight for source in sources])
        self._shares = weights / weights.sum()
        self._streams = [
            [
                LaneStream(source.open(lane=lane, lanes=total_lanes), *position.cursor[lane, i].tolist())
                for i, source in enumerate(sources)
            ]
            for lane in lanes
        ]

    def __iter__(self) -> Iterator[Batch]:
        for number in count(self._batches):
            parts = []
            for lane, streams in zip(self._lanes, self._streams, strict=True):
                random = np.random.default_rng([self._seed, lane, number])
                draws = random.multinomial(self._lane_sequences, self._shares)
                for source, stream, draw in zip(self._sources, streams, draws, strict=True):
                    if draw:
                        parts.append((source.task, stream.take(int(draw))))
            batch = collate(parts, self._tensor_size)
            batch.cursor = np.array([[stream.cursor for stream in streams] for streams in self._streams], np.int64)
            batch.damaged = np.array([[stream.damaged for stream in streams] for streams in self._streams], np.int64)
            yield batch


def load_batches(
    sources: Sequence[DiskSource],
    *,
    batch: int,
    lanes: int,
    tensor_size: int,
    position: DataPosition,
    rank: int = 0,
    workers: int = 1,
    loaders: int = 0,
) -> Iterator[Batch]:
    """Yields one worker's share of every global batch. Each carries the cursor of this worker's lanes.

    Args:
        sources: what to read.
        batch: sequences in a global batch.
        lanes: number of all lanes.
        tensor_size: the width that compact tensors are padded to.
        position: where the run continues.
        rank: the worker's number, 0 … workers − 1.
        workers: number of the learner's workers.
        loaders: number of processes that read; 0: this process reads.

    Raises:
        InputError: data are damaged.
    """
    own = range(rank * lanes // workers, (rank + 1) * lanes // workers)
    make = partial(
        LaneBatches,
        sources,
        total_lanes=lanes,
        lane_sequences=batch // lanes,
        tensor_size=tensor_size,
        position=position,
    )
    if not loaders:
        return iter(make(own))
    # Needs torch, which collecting and generating do not.
    from replay.loader_processes import batches_from_processes

    cuts = np.linspace(0, len(own), min(loaders, len(own)) + 1).astype(int)
    parts = [own[first:end] for first, end in pairwise(cuts)]
    return batches_from_processes([partial(make, part) for part in parts])
