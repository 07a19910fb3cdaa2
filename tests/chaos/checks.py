"""Checks of a run's data after faults. Each raises AssertionError if something is lost or stored twice."""

from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.config.run_config import load_config
from gato_dist.scores.table import ScoreTable
from gato_dist.seeds import SEQUENCES_PER_BLOCK, sequence_block
from gato_dist.sequence import Sequences, SequenceShape
from gato_dist.tokens.packing import sequence_shape
from learner.checkpoint import read_counters
from replay.reverb.checkpoints import stored_item_ids
from replay.reverb.libraries import import_reverb
from replay.reverb.tables import table_metrics, table_task
from tests.chaos.running import Running

SAMPLES = 400


def check_scores(run: Path) -> int:
    """Checks scores.csv: complete lines, no duplicates, increasing versions. Returns the number of lines."""
    path = run / "scores.csv"
    text = path.read_text()
    assert text.endswith("\n"), f"{path}: its last line is incomplete"
    rows = ScoreTable.read(path)
    keys = [(row.weights_version, row.task) for row in rows]
    assert len(set(keys)) == len(keys), f"{path}: a version is scored twice on one task"
    versions = [row.weights_version for row in rows]
    assert versions == sorted(versions), f"{path}: weights versions decrease: {versions}"
    episodes = run / "episodes.jsonl"  # written with the first score
    assert len(episodes.read_text().splitlines() if episodes.exists() else []) == len(rows)
    return len(rows)


def check_checkpoints(run: Path) -> None:
    """Checks that steps and versions of the learner's checkpoints increase, and that replay keeps no more."""
    found = sorted(run.glob("checkpoints/step-????????"))
    counters = [read_counters(path) for path in found]
    assert [each.step for each in counters] == [int(path.name.removeprefix("step-")) for path in found]
    assert [each.weights_version for each in counters] == sorted({each.weights_version for each in counters})
    kept = len(list(run.glob("replay/checkpoints/step-*")))
    assert kept <= load_config(run / "config.yaml").learner.keep_checkpoints + 1, f"{kept} replay checkpoints"


class Items:
    """Checks the sequences in replay by item id: one that is stored twice would be sampled twice as often.

    Args:
        running: the run.
    """

    def __init__(self, running: Running) -> None:
        self._running, config = running, load_config(running.run / "config.yaml")
        # Imported late: Ray reads its token on import, and three_nodes sets it after this module is imported.
        from gato_dist.training.tokenizer import make_tokenizer

        tokenizer = make_tokenizer(config)
        self._shapes: dict[str, SequenceShape] = {
            task.name: sequence_shape(tokenizer.tasks[task.name], config.tokens.length) for task in config.tasks
        }
        self._size = config.replay.size
        self._seen: dict[str, set[int]] = {}
        self._keys: dict[tuple[str, str, int], int] = {}

    def inserted(self) -> dict[str, int]:
        """Returns how many sequences were inserted into each table of the current server."""
        metrics = table_metrics(self._client().server_info(timeout=60))
        return {name: table.inserted for name, table in metrics.items()}

    @property
    def known(self) -> int:
        """The number of different items seen so far."""
        return sum(map(len, self._seen.values()))

    def check(self) -> None:
        """Samples items of every table, and reads the next complete checkpoint.

        Raises:
            AssertionError: a sequence is stored twice, or a stored one is gone.
        """
        self._draw()
        # The first one may have been started before the samples were drawn, and lack some of them.
        self._running.next_replay_checkpoint()
        saved = self._running.next_replay_checkpoint()
        stored = stored_item_ids(saved)
        for table in {*stored, *self._seen}:
            fault = sequence_fault(stored.get(table, []), self._seen.get(table, set()), self._size)
            assert fault is None, f"{saved}: {table}: {fault}"

    def _draw(self) -> None:
        client, address = self._client(), self._running.replay_address()
        info = client.server_info(timeout=60)
        for table, shape in ((table, self._shapes[table_task(table)]) for table in info):
            if info[table].current_size < 8:
                continue
            for sample in client.sample(table, SAMPLES, emit_timesteps=False):
                sequence = Sequences.from_bytes(np.asarray(sample.data[0]).reshape(1, -1), shape)
                item, key = int(sequence.item_id[0]), int(np.ravel(sample.info.key)[0])
                self._seen.setdefault(table, set()).add(item)
                # A sequence that is sent again to a new server gets another key there.
                known = self._keys.setdefault((address, table, item), key)
                assert known == key, f"{table}: item {item} is stored twice"

    def _client(self) -> Any:
        return import_reverb().Client(self._running.replay_address())


def sequence_fault(stored: list[int], seen: set[int], size: int) -> str | None:
    """Returns what is wrong with the item ids of a table, or None.

    An actor numbers its sequences without gaps, and the oldest are removed first. So of each actor, everything from
    some number on must be there. Only the last sequences of an actor that died may be missing: it cannot send again
    what a server lost.

    Args:
        stored: item ids in the table.
        seen: item ids that were sampled from it before.
        size: item ids in a full table.
    """
    if len(set(stored)) < len(stored):
        return "a sequence is stored twice"
    blocks: dict[int, list[int]] = {}
    for item in sorted(stored):
        blocks.setdefault(sequence_block(item), []).append(item)
    for block, items in blocks.items():
        if items != list(range(items[0], items[-1] + 1)):
            return f"sequences of block {block} between {items[0]} and {items[-1]} are gone"
        # A source numbers its sequences from the start or the middle of the block.
        if (len(stored) < size or block != min(blocks)) and items[0] % (SEQUENCES_PER_BLOCK // 2):
            return f"the first sequences of block {block} are gone"
    last = max({*blocks, *map(sequence_block, seen)}, default=0)
    gone = [item for item in seen if sequence_block(item) == last and item > max(blocks.get(last, [-1]))]
    return f"sequence {max(gone)} of block {last} is gone, whose actor is alive" if gone else None
