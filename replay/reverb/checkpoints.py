"""Replay on disk: what Reverb writes of one server, sealed, and found again beside the learner's checkpoints.

A row's item id is the priority of its item: from Reverb's list of items, without their data, it tells which rows a
checkpoint holds.

Reverb takes a table's limits and the size of its rows from its checkpoint, whatever the server was given, and deletes
all else that lies where it writes: so it writes into a folder of its own, and what it wrote is moved, described and
sealed.
"""

import json
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.seeds import sequence_block
from gato_dist.sequence import SequenceShape, sequence_bytes
from gato_dist.utils.files import fsync
from gato_dist.utils.manifest import seal, verify
from gato_dist.utils.typed_json import read_as, to_json
from replay.reverb.tables import import_tensorflow, part_of

CONTENTS, DONE, ITEMS = "tables.json", "DONE", "items.tfrecord"
READ = 1024  # items at a time
LIMITS = ("size", "max_sequences_ahead", "min_size", "samples_per_insert")


@dataclass(frozen=True)
class Tables:
    """What a server's tables must be, for a checkpoint to be theirs.

    tokenizer: its fingerprint; tables: of each, its limits and the bytes of a row.
    """

    tokenizer: str
    tables: dict[str, dict[str, float]]

    @classmethod
    def of(
        cls, tokenizer: str, shapes: Mapping[str, SequenceShape], config: ReplayConfig, shares: Mapping[str, float]
    ) -> "Tables":
        """As `start_server` makes them of the same arguments."""
        tables = {}
        for name, shape in shapes.items():
            limits = part_of(config, shares[name])
            tables[name] = {key: float(getattr(limits, key)) for key in LIMITS} | {
                "row_bytes": float(sequence_bytes(shape))
            }
        return cls(tokenizer, tables)


class ReplayCheckpoints:
    """Those of one server, the newest `keep` of them: in `root` a folder for each step, with one for each server."""

    def __init__(self, root: Path, shard: int, keep: int) -> None:
        self._root, self._name, self._keep = root, f"shard-{shard}", keep

    def place(self, step: int) -> Path:
        return self._root / f"step-{step:08d}" / self._name

    def until(self, step: int | None) -> list[Path]:
        """Up to a step, all where that is None; the newest first, by their names, whole or not."""
        return [path for path in sorted(self._all(), reverse=True) if step is None or path <= self.place(step)]

    def prune(self, step: int) -> None:
        """Keeps the newest up to `step`, and none beyond it: the run has not come so far again."""
        kept = self.until(step)[: self._keep]
        for path in self._all():
            if path not in kept:
                shutil.rmtree(path)
                # Other servers' may lie there still.
                with suppress(OSError):
                    path.parent.rmdir()

    def _all(self) -> list[Path]:
        return list(self._root.glob(f"step-*/{self._name}"))


def stored_sequences(place: Path) -> dict[str, list[int]]:
    """Item ids of the rows that a checkpoint holds, by table."""
    tf = import_tensorflow()
    from reverb.cc import schema_pb2

    found: dict[str, list[int]] = {}
    records = tf.data.TFRecordDataset(str(place / ITEMS), compression_type="ZLIB").batch(READ)
    for record in (each for batch in records.as_numpy_iterator() for each in batch):
        item = schema_pb2.PrioritizedItem.FromString(record)
        found.setdefault(item.table, []).append(int(item.priority))
    return found


def newest_rows(place: Path) -> dict[str, dict[int, int]]:
    """By table and seed block, the item id of the newest row that it holds.

    An actor's rows are stored in order, as long as its connection holds.
    """
    found: dict[str, dict[int, int]] = {}
    for table, items in stored_sequences(place).items():
        newest = found.setdefault(table, {})
        for item in items:
            newest[sequence_block(item)] = max(item, newest.get(sequence_block(item), item))
    return found


def save(client: Any, tables: Tables, place: Path) -> None:
    """Has a server write its checkpoint and moves it to `place`, sealed; it is there as a whole or not at all.

    client: a reverb.Client of the server, whose process must be this one's machine's.
    """
    written = Path(client.checkpoint())
    try:
        (written / CONTENTS).write_text(to_json(asdict(tables)), "utf-8")
        seal(written)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        written.rename(place)
        fsync(place.parent)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def check(place: Path, tables: Tables) -> None:
    """Raises InputError, in a line, where there is no whole checkpoint at `place`, or one of other tables."""
    if not place.is_dir():
        raise InputError(f"{place}: there is none")
    if not (place / DONE).is_file():
        raise InputError(f"{place}: Reverb did not finish it: no {DONE}")
    verify(place)
    path = place / CONTENTS
    try:
        before = read_as(Tables, json.loads(path.read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{path}: damaged: {brief(error)}") from error
    if before.tokenizer != tables.tokenizer:
        raise InputError(f"{place}: its tokenizer is not this run's")
    if set(before.tables) != set(tables.tables):
        raise InputError(f"{place}: it holds {', '.join(sorted(before.tables))}, not this run's tables")
    for name, limits in tables.tables.items():
        for key, new in limits.items():
            if (old := before.tables[name].get(key)) != new:
                raise InputError(f"{place}: {key} of {name} is {old or 0:g} there, {new:g} in this run")
