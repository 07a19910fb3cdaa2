"""Batches drawn over tasks and sources by their weights, whatever the rates at which they are produced."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gato_dist.sequence import Batch, Sequences, collate
from gato_dist.sources import Guidance, Source
from replay.reverb.sampler import AHEAD, ReadySequences, join_sequences
from replay.usage import Usage

POLL_SECONDS = 0.2
DRY_SECONDS = 10.0  # a table that has rows gives them in milliseconds
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
    rows: Iterator[Sequences]
    source: Source = Source.EXPERT


class MixtureBatches:
    """Batches of `batch` rows; each row's task is drawn with probability proportional to its weight, then its source.

    A task's weight is that of its streams of experts. Their first rows are waited for, but no longer than `patience`
    seconds after the first batch was asked for, and not for tasks that `guide` says are in trouble; a stream that dries
    up afterwards is waited for 10 s. What is not waited for is left out, its task's share falling to the other tasks,
    until it has rows. Other sources are never waited for: what one has not got falls to the task's others, and in the
    end to its experts.
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
        patience: float = float("inf"),
    ) -> None:
        self._streams = list(streams)
        self._tasks = np.array([stream.task for stream in streams])
        self._weights = np.array([stream.weight for stream in streams])
        self._expert = np.array([stream.source is Source.EXPERT for stream in streams])
        # Experts' rows are waited for: further ones lying ready would only be older.
        self._rows = [ReadySequences(s.rows, 1 if s.source is Source.EXPERT else AHEAD) for s in streams]
        self._began, self._missing = np.zeros(len(self._rows), bool), np.zeros(len(self._rows), bool)
        self._batch, self._tensor_size = batch, tensor_size
        self._random = np.random.default_rng(seed)
        self._source_shares, self._guide = shares, guide
        self._usage = usage if usage is not None else Usage([])
        self._patience = patience

    def __iter__(self) -> Iterator[Batch]:
        until = time.monotonic() + self._patience
        while True:
            yield collate(self._draw(until), self._tensor_size)

    def shares(self, guidance: Guidance) -> np.ndarray:
        """Of a batch's rows, of each stream as it stands now: float64 [streams], adding up to 1; 0 without any rows."""
        by_source = self._source_shares(guidance.progress)
        has = np.array([rows.any for rows in self._rows])
        self._missing &= ~has
        has |= self._expert & ~self._missing
        part = self._weights * [by_source.get(stream.source, 0.0) for stream in self._streams] * has
        many = int(self._tasks.max()) + 1
        # Where a task's schedule leaves nothing to what it has, that is its experts.
        empty = np.bincount(self._tasks, part, many) == 0
        part = np.where(empty[self._tasks], self._weights * self._expert * has, part)
        of_task: np.ndarray = np.bincount(self._tasks, self._weights * self._expert, many)
        if guidance.factors is not None:
            of_task = of_task * guidance.factors[:many]
        whole = np.bincount(self._tasks, part, many)
        shares = part * np.divide(of_task, whole, out=np.zeros(many), where=whole > 0)[self._tasks]
        return shares / (shares.sum() or 1.0)

    def _draw(self, until: float) -> list[tuple[int, Sequences]]:
        """The rows of a batch, with their tasks. until: when first rows are no longer waited for."""
        parts: list[tuple[int, Sequences]] = []
        while (wanted := self._batch - sum(len(rows) for _, rows in parts)) > 0:
            guidance = self._guide()
            shares = self.shares(guidance)
            if shares.any():
                parts += self._take(self._random.multinomial(wanted, shares), guidance.version, until)
            else:
                time.sleep(POLL_SECONDS)
        return parts

    def _take(self, counts: np.ndarray, version: int, until: float) -> Iterator[tuple[int, Sequences]]:
        counts = counts.copy()
        # Those that may come short first, so that their task's experts can fill in.
        for index in np.argsort(self._expert, kind="stable"):
            stream, wanted = self._streams[index], int(counts[index])
            if not wanted:
                continue
            if self._expert[index]:
                rows = self._wait(index, wanted, until)
            else:
                rows = self._rows[index].take(wanted)
                counts[np.flatnonzero((self._tasks == stream.task) & self._expert)[0]] += wanted - len(rows)
            if rows is not None:
                self._usage.count(stream.task, stream.source, rows, version)
                yield stream.task, rows

    def _wait(self, index: int, wanted: int, until: float) -> Sequences | None:
        """Rows of an expert's stream: fewer than wanted, or None, where they do not come. Then it counts as missing."""
        ready, task = self._rows[index], self._streams[index].task
        parts: list[Sequences] = []
        dry = time.monotonic() + DRY_SECONDS
        while wanted and not self._missing[index]:
            if ready.wait(POLL_SECONDS):
                self._began[index] = True
                parts.append(ready.take(wanted))
                wanted -= len(parts[-1])
            elif self._began[index]:
                self._missing[index] = time.monotonic() > dry
            else:
                self._missing[index] = time.monotonic() > until or task in self._guide().failed_tasks
        return join_sequences(parts) if parts else None
