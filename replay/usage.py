"""What a learner's batches were made of: rows by task and source, how old they were and how often they were drawn."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from gato_dist.sequence import Sequences
from gato_dist.sources import Source

BINS = 14


def bins_of(values: np.ndarray) -> np.ndarray:
    """The bin of each whole number ≥ 0: 0, 1, 2–3, 4–7 … and, as the last of `BINS`, all from 4096 on: int64."""
    return np.minimum(np.ceil(np.log2(np.maximum(values, 0) + 1.0)).astype(np.int64), BINS - 1)


def bin_name(index: int) -> str:
    """The numbers that fall into a bin."""
    low, high = (1 << index) >> 1, (1 << index) - 1
    return f"{low}+" if index == BINS - 1 else str(low) if low >= high else f"{low}–{high}"


class Usage:
    """names: of the mixture's tasks. Counts since it was made, of this worker alone."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._rows: Counter[tuple[int, Source]] = Counter()
        self._lag = np.zeros(BINS, np.int64)
        self._reuse: list[np.ndarray] = []
        self._skipping: dict[str, Callable[[], int]] = {}

    def drew(self, task: int, source: Source, rows: Sequences, version: int) -> None:
        """Rows that go into a batch while `version` is the newest of the weights."""
        self._rows[task, source] += len(rows)
        acted = rows.weights_version[:, 1]
        self._lag += np.bincount(bins_of(version - acted[acted >= 0]), minlength=BINS)

    def reader(self) -> Callable[[np.ndarray], None]:
        """For one reader of a table, on whatever thread: takes how often each row was drawn so far, this time too."""
        counts = np.zeros(BINS, np.int64)
        self._reuse.append(counts)

        def read(times: np.ndarray) -> None:
            counts[:] += np.bincount(bins_of(np.asarray(times).ravel()), minlength=BINS)

        return read

    def skips(self, task: int, damaged: Callable[[], int]) -> None:
        """damaged: counts the documents of this corpus that were skipped."""
        self._skipping[self._names[task]] = damaged

    def metrics(self) -> dict[str, float]:
        """Counters: rows/SOURCE/TASK; lag/BIN, in weights versions, of rows in which Gato acted; reuse/BIN;

        damaged/CORPUS: documents that were skipped.
        """
        found = {f"rows/{source}/{self._names[task]}": float(n) for (task, source), n in self._rows.items()}
        for name, counts in (("lag", self._lag), ("reuse", sum(self._reuse, np.zeros(BINS, np.int64)))):
            found |= {f"{name}/{index}": float(count) for index, count in enumerate(counts) if count}
        return found | {f"damaged/{name}": float(count) for name, read in self._skipping.items() if (count := read())}
