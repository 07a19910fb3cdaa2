"""What a learner worker's batches were made of: counts by task and source, the age of sequences, and their reuse."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gato_dist.sequence import Sequences
from gato_dist.sources import Source

Ints = NDArray[np.integer[Any]]

BINS = 14


def bins_of(values: Ints) -> Ints:
    """Returns the histogram bin of each value.

    Args:
        values: integers ≥ 0 of any shape; negative ones count as 0.

    Returns:
        int64 of the same shape. Bins hold 0, 1, 2–3, 4–7 …; the last of the `BINS` bins holds all values from 4096 on.
    """
    bins: Ints = np.minimum(np.ceil(np.log2(np.maximum(values, 0) + 1.0)).astype(np.int64), BINS - 1)
    return bins


def bin_name(index: int) -> str:
    """Returns the range of values in a bin, such as `4–7`."""
    low, high = (1 << index) >> 1, (1 << index) - 1
    return f"{low}+" if index == BINS - 1 else str(low) if low >= high else f"{low}–{high}"


class CountsDamage(Protocol):
    """A reader that skips damaged documents, and counts them."""

    @property
    def damaged(self) -> int: ...


class Usage:
    """Counts what one learner worker learned from, since the worker started."""

    def __init__(self, names: Sequence[str]) -> None:
        """Begins at zero.

        Args:
            names: the tasks and corpora of the mixture, in the order of task indices.
        """
        self._names = names
        self._sequences: Counter[tuple[int, Source]] = Counter()
        self._lag = np.zeros(BINS, np.int64)
        self._reuse: list[Ints] = []
        self._readers: dict[str, CountsDamage] = {}

    def count(self, task: int, source: Source, sequences: Sequences, version: int) -> None:
        """Counts sequences that go into a batch.

        Args:
            task: the index of their task.
            source: where they come from.
            sequences: the sequences.
            version: the newest weights version.
        """
        self._sequences[task, source] += len(sequences)
        acted = sequences.weights_version[:, 1]
        self._lag += np.bincount(bins_of(version - acted[acted >= 0]), minlength=BINS)

    def count_reuse(self) -> Callable[[Ints], None]:
        """Returns a function that counts how often sequences were drawn.

        Each reader of a replay table needs a function of its own, since readers run in threads. Its argument is how
        often each sequence was drawn so far, including this time.
        """
        counts = np.zeros(BINS, np.int64)
        self._reuse.append(counts)

        def count(times: Ints) -> None:
            counts[:] += np.bincount(bins_of(np.asarray(times).ravel()), minlength=BINS)

        return count

    def count_damaged(self, task: int, reader: CountsDamage) -> None:
        """Includes the damaged documents of a reader in the counts.

        Args:
            task: the index of the reader's task or corpus.
            reader: counts its damaged documents.
        """
        self._readers[self._names[task]] = reader

    def counts(self) -> dict[str, int]:
        """Returns all counters, under the names that usage.json gives them.

        Returns:
            rows/SOURCE/TASK: sequences; lag/BIN: sequences in which Gato acted, by their age in weights versions;
            reuse/BIN: sequences by how often they were drawn; damaged/CORPUS: skipped documents. Counters of lag,
            reuse and damage that are 0 are left out.
        """
        found = {f"rows/{source}/{self._names[task]}": count for (task, source), count in self._sequences.items()}
        for name, bins in (("lag", self._lag), ("reuse", sum(self._reuse, np.zeros(BINS, np.int64)))):
            found |= {f"{name}/{index}": int(count) for index, count in enumerate(bins) if count}
        return found | {f"damaged/{name}": count for name, reader in self._readers.items() if (count := reader.damaged)}
