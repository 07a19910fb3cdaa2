"""What must hold of a run whatever was killed. Each raises AssertionError with what does not."""

from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.config.run_config import load_config
from gato_dist.scores.references import load_reference
from gato_dist.scores.table import ScoreTable
from gato_dist.seeds import BLOCK_SEQUENCES, sequence_block
from gato_dist.sequence import Sequences, SequenceShape
from gato_dist.tokens.packing import sequence_shape
from learner.checkpoint import read_counters
from replay.reverb.checkpoints import stored_sequences
from replay.reverb.tables import import_reverb, table_metrics, table_task
from tests.chaos.running import Running

SAMPLES = 400


def check_scores(run: Path) -> int:
    """scores.csv: whole lines, none of them twice, versions that never go back; how many."""
    path = run / "scores.csv"
    text = path.read_text()
    assert text.endswith("\n"), f"{path}: its last line is torn"
    rows = ScoreTable.read(path)
    keys = [(row.weights_version, row.task) for row in rows]
    assert len(set(keys)) == len(keys), f"{path}: a version is scored twice on one task"
    versions = [row.weights_version for row in rows]
    assert versions == sorted(versions), f"{path}: weights versions go back: {versions}"
    episodes = run / "episodes.jsonl"  # written with the first score
    assert len(episodes.read_text().splitlines() if episodes.exists() else []) == len(rows)
    return len(rows)


def check_checkpoints(run: Path) -> None:
    """Each of replay's belongs to one of the learner's, or to one that was not finished; the counters grow with it."""
    found = sorted(run.glob("checkpoints/step-????????"))
    counters = [read_counters(path) for path in found]
    assert [each.step for each in counters] == [int(path.name.removeprefix("step-")) for path in found]
    assert [each.weights_version for each in counters] == sorted({each.weights_version for each in counters})
    kept = len(list(run.glob("replay/checkpoints/step-*")))
    assert kept <= load_config(run / "config.yaml").learner.keep_checkpoints + 1, f"{kept} replay checkpoints"


class Items:
    """What replay holds by item id: an id that lay there twice would be drawn twice as often as others."""

    def __init__(self, running: Running) -> None:
        self._running, config = running, load_config(running.run / "config.yaml")
        # Ray takes up its token when it is imported, and three_nodes sets it later than this module is.
        from gato_dist.training.live import make_tokenizer

        tokenizer = make_tokenizer(config, {task.name: load_reference(task.name) for task in config.tasks})
        self._shapes: dict[str, SequenceShape] = {
            task.name: sequence_shape(tokenizer.tasks[task.name], config.tokens.length) for task in config.tasks
        }
        self._size = config.replay.size
        self._seen: dict[str, set[int]] = {}
        self._keys: dict[tuple[str, str, int], int] = {}

    def inserted(self) -> dict[str, int]:
        metrics = table_metrics(self._client().server_info(timeout=60))
        return {name: table.inserted for name, table in metrics.items()}

    @property
    def known(self) -> int:
        """Different items that were seen."""
        return sum(map(len, self._seen.values()))

    def check(self) -> None:
        """Draws items of every table that has some, and reads a checkpoint that is written from now on.

        Raises AssertionError where one lies there twice, or a row that was stored is gone.
        """
        self._draw()
        # The first one may have been begun before rows were drawn that it lacks.
        self._running.replay_saved()
        saved = self._running.replay_saved()
        stored = stored_sequences(saved)
        for table in {*stored, *self._seen}:
            fault = row_fault(stored.get(table, []), self._seen.get(table, set()), self._size)
            assert fault is None, f"{saved}: {table}: {fault}"

    def _draw(self) -> None:
        client, place = self._client(), self._running.replay_place()
        info = client.server_info(timeout=60)
        for table, shape in ((table, self._shapes[table_task(table)]) for table in info):
            if info[table].current_size < 8:
                continue
            for sample in client.sample(table, SAMPLES, emit_timesteps=False):
                row = Sequences.from_bytes(np.asarray(sample.data[0]).reshape(1, -1), shape)
                item, key = int(row.item_id[0]), int(np.ravel(sample.info.key)[0])
                self._seen.setdefault(table, set()).add(item)
                # What a server is given again after its predecessor's death has another key there.
                known = self._keys.setdefault((place, table, item), key)
                assert known == key, f"{table}: item {item} lies there twice"

    def _client(self) -> Any:
        return import_reverb().Client(self._running.replay_place())


def row_fault(rows: list[int], seen: set[int], size: int) -> str | None:
    """What is wrong with the item ids of a table. seen: those that lay there before; size: of the full table.

    An actor numbers its rows without gaps, and the oldest leave first; what it wrote is all there, then, from some
    number on. Only an actor that died itself can not give again what a server lost: its last rows may be missing.
    """
    if len(set(rows)) < len(rows):
        return "a row lies there twice"
    blocks: dict[int, list[int]] = {}
    for row in sorted(rows):
        blocks.setdefault(sequence_block(row), []).append(row)
    for block, held in blocks.items():
        if held != list(range(held[0], held[-1] + 1)):
            return f"rows of block {block} between {held[0]} and {held[-1]} are gone"
        # A source's rows are numbered from the block's beginning or its middle.
        if (len(rows) < size or block != min(blocks)) and held[0] % (BLOCK_SEQUENCES // 2):
            return f"the first rows of block {block} are gone"
    last = max({*blocks, *map(sequence_block, seen)}, default=0)
    gone = [row for row in seen if sequence_block(row) == last and row > max(blocks.get(last, [-1]))]
    return f"row {max(gone)} of block {last} is gone, which goes on" if gone else None
