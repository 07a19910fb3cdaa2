"""Batches drawn over sources by fixed weights, whatever the rates at which they are produced."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gato_dist.sequence import Batch, Rows, collate
from replay.sampler import RowStream


@dataclass(frozen=True)
class Stream:
    """Rows of one task, in blocks without end. task: index among the run's; weight: share of a batch's rows."""

    task: int
    weight: float
    rows: Iterator[Rows]


class MixtureBatches:
    """Batches of `batch` rows; each row's stream is drawn with probability proportional to its weight."""

    def __init__(self, streams: Sequence[Stream], batch: int, tensor_size: int, seed: int) -> None:
        self._tasks = [stream.task for stream in streams]
        self._streams = [RowStream(stream.rows) for stream in streams]
        weights = np.array([stream.weight for stream in streams])
        self._shares = weights / weights.sum()
        self._batch, self._tensor_size = batch, tensor_size
        self._random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            counts = self._random.multinomial(self._batch, self._shares)
            drawn = zip(self._tasks, self._streams, counts, strict=True)
            parts = [(task, stream.take(int(count))) for task, stream, count in drawn if count]
            yield collate(parts, self._tensor_size)
