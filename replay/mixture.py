"""Batches that mix tasks and sources by their weights, regardless of how fast each produces sequences."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.sequence import Batch, Sequences, collate
from gato_dist.sources import Guidance, Source
from replay.sequence_blocks import MAX_BLOCKS_AHEAD, ReadySequences, join_sequences
from replay.usage import Usage

POLL_SECONDS = 0.2
DRY_SECONDS = 10.0  # a table that holds sequences answers within milliseconds
SourceShares = Callable[[float], dict[Source, float]]


def _experts_only(progress: float) -> dict[Source, float]:
    return {Source.EXPERT: 1.0}


@dataclass(frozen=True)
class TaskStream:
    """An endless stream of one task's sequences from one source.

    Attributes:
        task: index among the tasks and corpora of the run.
        weight: the task's weight in batches, for an expert's stream. Several streams of the same task and source
            divide the task's weight in proportion to theirs.
        blocks: the sequences, in blocks.
        source: where they come from.
    """

    task: int
    weight: float
    blocks: Iterator[Sequences]
    source: Source = Source.EXPERT


class MixtureBatches:
    """Endless batches. Each sequence's task is drawn with probability proportional to its weight, then its source.

    The weights of a task's expert streams add up to the weight of the task. For expert streams a batch waits:

    - for the first sequence of each, until `patience` seconds after the first batch was requested. There is no wait for
      tasks that `guide` reports as troubled.
    - for later sequences, up to 10 s.

    After that, a stream counts as missing until it has sequences, and the other tasks share its part. Other sources
    are never waited for: what they lack comes from the task's other sources, and in the end from its experts.

    Args:
        streams: what to mix.
        batch: sequences in a batch.
        tensor_size: the width that compact tensors are padded to.
        seed: of the draws.
        source_shares: returns the share of each source in a task's sequences, from the run's progress 0 … 1.
        guide: called for every batch; it must not block.
        usage: counts the sequences that batches use.
        patience: seconds.
    """

    def __init__(
        self,
        streams: Sequence[TaskStream],
        *,
        batch: int,
        tensor_size: int,
        seed: int,
        source_shares: SourceShares = _experts_only,
        guide: Callable[[], Guidance] = Guidance,
        usage: Usage | None = None,
        patience: float = float("inf"),
    ) -> None:
        self._streams = list(streams)
        self._tasks = np.array([stream.task for stream in streams])
        self._weights = np.array([stream.weight for stream in streams])
        self._is_expert = np.array([stream.source is Source.EXPERT for stream in streams])
        # Batches wait for experts. Further blocks read ahead would only be older.
        self._ready = [
            ReadySequences(stream.blocks, 1 if stream.source is Source.EXPERT else MAX_BLOCKS_AHEAD)
            for stream in streams
        ]
        self._began, self._missing = np.zeros(len(self._ready), bool), np.zeros(len(self._ready), bool)
        self._batch, self._tensor_size = batch, tensor_size
        self._random = np.random.default_rng(seed)
        self._source_shares, self._guide = source_shares, guide
        self._usage = usage if usage is not None else Usage([])
        self._patience = patience

    def __iter__(self) -> Iterator[Batch]:
        deadline = time.monotonic() + self._patience
        while True:
            yield collate(self._draw(deadline), self._tensor_size)

    def shares(self, guidance: Guidance) -> NDArray[np.float64]:
        """Returns the share of each stream in a batch at this moment.

        Returns:
            float64 [streams]. The shares add up to 1, or all are 0 if no stream has sequences.
        """
        by_source = self._source_shares(guidance.progress)
        available = np.array([ready.any for ready in self._ready])
        self._missing &= ~available
        available |= self._is_expert & ~self._missing
        part = self._weights * [by_source.get(stream.source, 0.0) for stream in self._streams] * available
        tasks = int(self._tasks.max()) + 1
        # A task whose available sources all have share 0 uses its experts.
        empty = np.bincount(self._tasks, part, tasks) == 0
        part = np.where(empty[self._tasks], self._weights * self._is_expert * available, part)
        of_task: NDArray[Any] = np.bincount(self._tasks, self._weights * self._is_expert, tasks)
        if guidance.factors is not None:
            of_task = of_task * guidance.factors[:tasks]
        whole = np.bincount(self._tasks, part, tasks)
        shares: NDArray[np.float64] = (
            part * np.divide(of_task, whole, out=np.zeros(tasks), where=whole > 0)[self._tasks]
        )
        return shares / (shares.sum() or 1.0)

    def _draw(self, deadline: float) -> list[tuple[int, Sequences]]:
        """Returns (task, sequences) for one batch. deadline: no waiting for first sequences after this time."""
        parts: list[tuple[int, Sequences]] = []
        while (wanted := self._batch - sum(len(sequences) for _, sequences in parts)) > 0:
            guidance = self._guide()
            shares = self.shares(guidance)
            if shares.any():
                parts += self._take(self._random.multinomial(wanted, shares), guidance.version, deadline)
            else:
                time.sleep(POLL_SECONDS)
        return parts

    def _take(self, counts: NDArray[np.int64], version: int, deadline: float) -> Iterator[tuple[int, Sequences]]:
        counts = counts.copy()
        # Experts last: they fill in for other sources of their task that have too few sequences.
        for index in np.argsort(self._is_expert, kind="stable"):
            stream, wanted = self._streams[index], int(counts[index])
            if not wanted:
                continue
            if self._is_expert[index]:
                sequences = self._wait_for_expert(index, wanted, deadline)
            else:
                sequences = self._ready[index].take(wanted)
                counts[np.flatnonzero((self._tasks == stream.task) & self._is_expert)[0]] += wanted - len(sequences)
            if sequences is not None:
                self._usage.count(stream.task, stream.source, sequences, version)
                yield stream.task, sequences

    def _wait_for_expert(self, index: int, wanted: int, deadline: float) -> Sequences | None:
        """Returns an expert's sequences. If too few come, returns fewer or None and marks the stream as missing."""
        ready, task = self._ready[index], self._streams[index].task
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
                self._missing[index] = time.monotonic() > deadline or task in self._guide().failed_tasks
        return join_sequences(parts) if parts else None
