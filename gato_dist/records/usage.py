"""What a run's sequences were and what its Gato actors did: usage.json in its folder, and TensorBoard."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from gato_dist.errors import InputError, brief
from gato_dist.sources import Source
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.typed_json import to_json
from replay.usage import BINS

Figures = dict[str, dict[str, float]]
WRITE_SECONDS = 30.0
EPISODES = ("episodes", "led", "dropped", "imitated")  # of Gato actors, as `actors.relabel` counts them


def read_usage(path: Path) -> Counter[str]:
    """Counters of all of a run's starts: those of `replay.usage.Usage`, and gato/COUNT/TASK with COUNT of `EPISODES`.

    Empty where there is no file. Raises InputError where it is damaged.
    """
    if not path.is_file():
        return Counter()
    try:
        return Counter({str(name): int(count) for name, count in json.loads(path.read_text("utf-8")).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({brief(error, limit=None)}); remove it") from error


class UsageLog:
    """Adds up the figures of all learner workers and Gato actors of this start and what was counted before it."""

    def __init__(self, path: Path, writer: Any) -> None:
        """writer: a SummaryWriter."""
        self._path, self._writer, self._before = path, writer, read_usage(path)
        self.counts = Counter(self._before)
        self._shown = Counter(self._before)
        self._written = float("-inf")

    def update(self, metrics: Figures) -> None:
        """figures: of every process, by name, as the coordinator has them."""
        now: Counter[str] = Counter()
        for name, values in metrics.items():
            if name.startswith("mixture/"):
                now.update({counter: int(count) for counter, count in values.items()})
            elif name.startswith("gato/"):
                task = name.removeprefix("gato/").rsplit("/", 1)[0]
                now.update({f"gato/{kind}/{task}": int(values[kind]) for kind in EPISODES})
        self.counts = self._before + now

    def save(self, seconds: float, step: int) -> None:
        """Writes file and TensorBoard, if it is time to. seconds: since this start."""
        if seconds - self._written < WRITE_SECONDS:
            return
        self._written = seconds
        self.write()
        fresh = self.counts - self._shown
        self._shown = Counter(self.counts)
        rows = {source: sum(rows_of(fresh, source).values()) for source in Source}
        for source, count in rows.items():
            if any(rows.values()):
                self._writer.add_scalar(f"sequences/{source}", count / sum(rows.values()), step)
        for name in ("lag", "reuse"):
            if counts := histogram(fresh, name):
                self._histogram(f"replay/{name}", counts, step)

    def write(self) -> None:
        """The file, under a temporary name first."""
        if self.counts:
            write_text_atomically(self._path, to_json(dict(sorted(self.counts.items())), indent=1) + "\n")

    def _histogram(self, name: str, counts: dict[int, int], step: int) -> None:
        middles = {index: 0.75 * (1 << index) if index else 0.0 for index in counts}
        total = sum(count * middles[index] for index, count in counts.items())
        squares = sum(count * middles[index] ** 2 for index, count in counts.items())
        limits = [float(1 << index) - 0.5 for index in range(BINS)]
        self._writer.add_histogram_raw(
            name, min(middles.values()), max(middles.values()), sum(counts.values()), total, squares,
            limits, [counts.get(index, 0) for index in range(BINS)], step,
        )  # fmt: skip


def rows_of(counts: Counter[str], source: Source) -> dict[str, int]:
    """Sequences that were learned from, by task."""
    return _below(counts, f"rows/{source}/")


def gato_episodes(counts: Counter[str], kind: str) -> dict[str, int]:
    """By task; kind: of `EPISODES`."""
    return _below(counts, f"gato/{kind}/")


def damaged_documents(counts: Counter[str]) -> dict[str, int]:
    """Documents that were skipped, by corpus."""
    return _below(counts, "damaged/")


def histogram(counts: Counter[str], name: str) -> dict[int, int]:
    """Counts by bin of `lag` or `reuse`."""
    return {int(index): count for index, count in sorted(_below(counts, f"{name}/").items())}


def _below(counts: Counter[str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
