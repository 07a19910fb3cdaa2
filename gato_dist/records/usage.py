"""What a run learned from and what its Gato actors did: usage.json in the run folder, and TensorBoard."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gato_dist.errors import InputError
from gato_dist.sources import Source
from gato_dist.telemetry import GatoActorReport, MixtureReport
from gato_dist.utils.files import replace_text
from gato_dist.utils.typed_json import to_json
from replay.usage import BINS

WRITE_SECONDS = 30.0


def read_usage(path: Path) -> Counter[str]:
    """Reads the counters of all starts of a run.

    Args:
        path: a usage.json.

    Returns:
        The counters of `replay.usage.Usage`, and gato/KIND/TASK: episodes of Gato actors, where KIND is `episodes`
        (Gato acted), `led` (the expert acted), `dropped` or `imitated`. Empty if there is no file.

    Raises:
        InputError: if the file is damaged.
    """
    if not path.is_file():
        return Counter()
    try:
        return Counter({str(name): int(count) for name, count in json.loads(path.read_text("utf-8")).items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged ({' '.join(str(error).split())}); remove it") from error


class UsageLog:
    """Adds the counters of this start to those of earlier starts, and writes them.

    Attributes:
        counts: the counters of all starts, as `read_usage` returns them.
    """

    def __init__(self, path: Path, writer: Any) -> None:
        """Reads the counters of earlier starts.

        Args:
            path: the run's usage.json.
            writer: a TensorBoard `SummaryWriter`.
        """
        self._path, self._writer, self._before = path, writer, read_usage(path)
        self.counts = Counter(self._before)
        self._shown = Counter(self._before)
        self._saved_at = float("-inf")

    def update(self, mixtures: Sequence[MixtureReport], gato_actors: Sequence[GatoActorReport]) -> None:
        """Takes the newest reports of all learner workers and Gato actors of this start."""
        now: Counter[str] = Counter()
        for mixture in mixtures:
            now.update(mixture.counts)
        for actor in gato_actors:
            kinds = {
                "episodes": actor.episodes,
                "led": actor.expert_episodes,
                "dropped": actor.dropped,
                "imitated": actor.imitated,
            }
            now.update({f"gato/{kind}/{actor.task}": count for kind, count in kinds.items()})
        self.counts = self._before + now

    def save(self, seconds: float, step: int) -> None:
        """Writes the file and TensorBoard, at most every `WRITE_SECONDS`.

        Args:
            seconds: since this start.
            step: the learner's step.
        """
        if seconds - self._saved_at < WRITE_SECONDS:
            return
        self._saved_at = seconds
        self.write()
        fresh = self.counts - self._shown
        self._shown = Counter(self.counts)
        sequences = {source: sum(sequences_by_task(fresh, source).values()) for source in Source}
        total = sum(sequences.values())
        for source, count in sequences.items():
            if total:
                self._writer.add_scalar(f"sequences/{source}", count / total, step)
        for name in ("lag", "reuse"):
            if counts := histogram(fresh, name):
                self._write_histogram(f"replay/{name}", counts, step)

    def write(self) -> None:
        """Writes the file, if anything was counted."""
        if self.counts:
            replace_text(self._path, to_json(dict(sorted(self.counts.items())), indent=1) + "\n")

    def _write_histogram(self, name: str, counts: dict[int, int], step: int) -> None:
        middles = {index: 0.75 * (1 << index) if index else 0.0 for index in counts}
        self._writer.add_histogram_raw(
            name,
            min(middles.values()),
            max(middles.values()),
            sum(counts.values()),
            sum(count * middles[index] for index, count in counts.items()),
            sum(count * middles[index] ** 2 for index, count in counts.items()),
            [float(1 << index) - 0.5 for index in range(BINS)],
            [counts.get(index, 0) for index in range(BINS)],
            step,
        )


def sequences_by_task(counts: Counter[str], source: Source) -> dict[str, int]:
    """Returns the sequences of a source that were learned from, by task."""
    return _with_prefix(counts, f"rows/{source}/")


def gato_episodes(counts: Counter[str], kind: str) -> dict[str, int]:
    """Returns episodes of Gato actors, by task.

    Args:
        counts: as `read_usage` returns them.
        kind: `episodes`, `led`, `dropped` or `imitated`.
    """
    return _with_prefix(counts, f"gato/{kind}/")


def damaged_documents(counts: Counter[str]) -> dict[str, int]:
    """Returns the documents that were skipped, by corpus."""
    return _with_prefix(counts, "damaged/")


def histogram(counts: Counter[str], name: str) -> dict[int, int]:
    """Returns the counts of `lag` or `reuse` by bin (`replay.usage.bins_of`)."""
    return {int(index): count for index, count in sorted(_with_prefix(counts, f"{name}/").items())}


def _with_prefix(counts: Counter[str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): count for name, count in counts.items() if name.startswith(prefix)}
