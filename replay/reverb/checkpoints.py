"""Checkpoints of replay servers: written by Reverb, sealed with checksums, and kept alongside the learner's.

The priority of a Reverb item is the item id of its sequence. So Reverb's list of items, which is much smaller than
their data, shows which sequences a checkpoint holds.

Reverb deletes everything else in the folder that it writes to, and takes a table's limits and the size of its
sequences from the checkpoint, even if the server was started with others. So Reverb writes to a separate folder; the
result is then moved, described in `tables.json` and sealed.
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
from replay.reverb.libraries import import_tensorflow
from replay.reverb.tables import scale_limits

SETTINGS_FILE, DONE_FILE, ITEMS_FILE = "tables.json", "DONE", "items.tfrecord"
ITEMS_PER_READ = 1024
NewestItemIds = dict[str, dict[int, int]]  # table → seed block → item id


@dataclass(frozen=True)
class TableSettings:
    """The tokenizer and tables of a server. A checkpoint is used only if its settings are equal.

    Attributes:
        tokenizer: the tokenizer's fingerprint.
        tables: table → its limits (`size`, `ahead`, `min_size`, `samples_per_insert`) and `row_bytes`, the bytes of a
            sequence. These keys are in files: they stay when configuration keys are renamed.
    """

    tokenizer: str
    tables: dict[str, dict[str, float]]

    @classmethod
    def of(
        cls, tokenizer: str, shapes: Mapping[str, SequenceShape], config: ReplayConfig, shares: Mapping[str, float]
    ) -> "TableSettings":
        """Returns the settings of the tables that `start_server` makes from the same arguments."""
        tables = {}
        for name, shape in shapes.items():
            limits = scale_limits(config, shares[name])
            tables[name] = {
                "size": float(limits.size),
                "ahead": float(limits.max_sequences_ahead),
                "min_size": float(limits.min_size),
                "samples_per_insert": float(limits.samples_per_insert),
                "row_bytes": float(sequence_bytes(shape)),
            }
        return cls(tokenizer, tables)


class ReplayCheckpoints:
    """The checkpoints of one server: `root`/step-<step>/shard-<shard>.

    Args:
        root: folder of the checkpoints of all servers.
        shard: the server's number.
        keep: how many of the newest checkpoints `prune` keeps.
    """

    def __init__(self, root: Path, shard: int, keep: int) -> None:
        self._root, self._name, self._keep = root, f"shard-{shard}", keep

    def path(self, step: int) -> Path:
        """Returns the folder of the checkpoint of this step."""
        return self._root / f"step-{step:08d}" / self._name

    def up_to(self, step: int | None) -> list[Path]:
        """Returns the checkpoints up to a step, or all for None: the newest first, complete or not."""
        return [path for path in sorted(self._all(), reverse=True) if step is None or path <= self.path(step)]

    def prune(self, step: int) -> None:
        """Keeps the newest checkpoints up to `step`. Deletes older ones, and those beyond it from before a restart."""
        kept = self.up_to(step)[: self._keep]
        for path in self._all():
            if path not in kept:
                shutil.rmtree(path)
                # The folder may still hold checkpoints of other servers.
                with suppress(OSError):
                    path.parent.rmdir()

    def _all(self) -> list[Path]:
        return list(self._root.glob(f"step-*/{self._name}"))


def stored_item_ids(checkpoint: Path) -> dict[str, list[int]]:
    """Returns the item ids of the sequences in a checkpoint, by table."""
    tf = import_tensorflow()
    from reverb.cc import schema_pb2

    found: dict[str, list[int]] = {}
    records = tf.data.TFRecordDataset(str(checkpoint / ITEMS_FILE), compression_type="ZLIB").batch(ITEMS_PER_READ)
    for record in (each for batch in records.as_numpy_iterator() for each in batch):
        item = schema_pb2.PrioritizedItem.FromString(record)
        found.setdefault(item.table, []).append(int(item.priority))
    return found


def newest_item_ids(checkpoint: Path) -> NewestItemIds:
    """Returns the item id of the newest sequence in a checkpoint, by table and seed block.

    A writer's sequences are stored in order. So the checkpoint covers all its earlier ones too.
    """
    newest: NewestItemIds = {}
    for table, items in stored_item_ids(checkpoint).items():
        blocks = newest.setdefault(table, {})
        for item in items:
            block = sequence_block(item)
            blocks[block] = max(item, blocks.get(block, item))
    return newest


def save_checkpoint(client: Any, settings: TableSettings, path: Path) -> None:
    """Writes a server's checkpoint to `path`. An interrupted write leaves nothing there.

    Args:
        client: a `reverb.Client` of the server, which must run on this machine.
        settings: the server's tables.
        path: the new checkpoint's folder; an older one there is replaced.
    """
    written = Path(client.checkpoint())
    try:
        (written / SETTINGS_FILE).write_text(to_json(asdict(settings)), "utf-8")
        seal(written)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(path, ignore_errors=True)
        written.rename(path)
        fsync(path.parent)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def check_checkpoint(path: Path, settings: TableSettings) -> None:
    """Checks that a complete checkpoint with these tables is at `path`.

    Raises:
        InputError: there is none, it is damaged, or it belongs to other tables. One line.
    """
    if not path.is_dir():
        raise InputError(f"{path}: there is none")
    if not (path / DONE_FILE).is_file():
        raise InputError(f"{path}: Reverb did not finish it: no {DONE_FILE}")
    verify(path)
    settings_path = path / SETTINGS_FILE
    try:
        stored = read_as(TableSettings, json.loads(settings_path.read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{settings_path}: damaged: {brief(error)}") from error
    if stored.tokenizer != settings.tokenizer:
        raise InputError(f"{path}: its tokenizer is not this run's")
    if set(stored.tables) != set(settings.tables):
        raise InputError(f"{path}: it holds {', '.join(sorted(stored.tables))}, not this run's tables")
    for name, limits in settings.tables.items():
        for key, new in limits.items():
            if (old := stored.tables[name].get(key)) != new:
                raise InputError(f"{path}: {key} of {name} is {old or 0:g} there, {new:g} in this run")
