"""Batches drawn over tasks by fixed weights, whatever the rates at which the tasks are produced."""

from collections.abc import Iterator, Mapping

import numpy as np

from gato_dist.sequence import Batch, Rows, collate
from replay.sampler import RowStream


class MixtureBatches:
    """Batches of `batch` rows; each row's task is drawn with probability proportional to its weight.

    streams: blocks of rows by task; weights: by task, in the order that gives a batch's task indices.
    """

    def __init__(
        self,
        streams: Mapping[str, Iterator[Rows]],
        weights: Mapping[str, float],
        batch: int,
        tensor_size: int,
        seed: int,
    ) -> None:
        self._streams = [RowStream(streams[task]) for task in weights]
        total = sum(weights.values())
        self._shares = np.array([weight / total for weight in weights.values()])
        self._batch, self._tensor_size = batch, tensor_size
        self._random = np.random.default_rng(seed)

    def __iter__(self) -> Iterator[Batch]:
        while True:
            counts = self._random.multinomial(self._batch, self._shares)
            parts = [(task, self._streams[task].take(int(count))) for task, count in enumerate(counts) if count]
            yield collate(parts, self._tensor_size)
