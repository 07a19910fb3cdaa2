"""Batches drawn over tasks and sources by their weights, whatever the rates at which they are produced."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gato_dist.sequence import Batch, Rows, collate
from gato_dist.sources import Guidance, Source
from replay.sampler import ReadyRows, RowStream
from replay.usage import Usage

Shares = Callable[[float], dict[Source, float]]


def _experts_alone(progress: float) -> dict[Source, float]:
    return {Source.EXPERT: 1.0}


@dataclass(frozen=True)
class Stream:
    """Rows of one task from one source, in blocks without end. task: index among the run's.

    weight: share of a batch's rows, as far as it goes by task; of several of one task and source, each one's part.
    """

    task: int
    weight: float
    rows: Iterator[Rows]
    source: Source = Source.EXPERT


class MixtureBatches:
    """Batches of `batch` rows; each row's task is drawn with probability proportional to its weight, then its source.

    A task's weight is that of its streams of experts, which are waited for. Other sources are not: what one has not got
    falls to the task's others, and in the end to its experts.
    shares: of a task's sources at some progress of the run. guide: asked at every batch; it must not block.
    usage: counts what is drawn.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        batch: int,
        tensor_size: int,
        seed: int,
        shares: Shares = _experts_alone,
        guide: Callable[[], Guidance] = Guidance,
        usage: Usage | None = None,
    ) -> None:
        self._streams = list(streams)
        self._waited = [RowStream(s.rows) if s.source is Source.EXPERT else None for s in streams]
        self._ready = [ReadyRows(s.rows) if s.source is not Source.EXPERT else None for s in streams]
        self._tasks = np.array([stream.task for stream in streams])
        self._weights = np.array([stream.weight for stream in streams])
        self._expert = np.array([stream.source is Source.EXPERT for stream in streams])
        self._batch, self._tensor_size = batch, tensor_size
        self._random = np.random.default_rng(seed)
        self._source_shares, self._guide = shares, guide
        self._usage = usage if usage is not None else Usage([])

    def __iter__(self) -> Iterator[Batch]:
        while True:
            guidance = self._guide()
            counts = self._random.multinomial(self._batch, self.shares(guidance))
            yield collate(list(self._take(counts, guidance.version)), self._tensor_size)

    def shares(self, guidance: Guidance) -> np.ndarray:
        """Of a batch's rows, of each stream as it stands now: float64 [streams], adding up to 1."""
        by_source = self._source_shares(guidance.progress)
        has = np.array([ready is None or ready.any for ready in self._ready])
        part = self._weights * [by_source.get(stream.source, 0.0) for stream in self._streams] * has
        many = int(self._tasks.max()) + 1
        # Where a task's schedule leaves nothing to what it has, that is its experts.
        empty = np.bincount(self._tasks, part, many) == 0
        part = np.where(empty[self._tasks], self._weights * self._expert, part)
        of_task: np.ndarray = np.bincount(self._tasks, self._weights * self._expert, many)
        if guidance.factors is not None:
            of_task = of_task * guidance.factors[:many]
        shares = part / np.bincount(self._tasks, part, many)[self._tasks] * of_task[self._tasks]
        return shares / shares.sum()

    def _take(self, counts: np.ndarray, version: int) -> Iterator[tuple[int, Rows]]:
        counts = counts.copy()
        # Those that may come short first, so that their task's experts can fill in.
        for index in np.argsort(self._expert, kind="stable"):
            stream, wanted = self._streams[index], int(counts[index])
            if not wanted:
                continue
            if (waited := self._waited[index]) is not None:
                rows = waited.take(wanted)
            else:
                rows = self._ready[index].take(wanted)  # type: ignore[union-attr]
                counts[np.flatnonzero((self._tasks == stream.task) & self._expert)[0]] += wanted - len(rows)
            self._usage.drew(stream.task, stream.source, rows, version)
            yield stream.task, rows
