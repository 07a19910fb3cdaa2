"""What must hold of a run whatever was killed. Each raises AssertionError with what does not."""

from pathlib import Path

import numpy as np

from gato_dist.config import load_config
from gato_dist.scores import ScoreTable, load_reference
from gato_dist.sequence import Rows, RowShape
from gato_dist.tokens.packing import row_shape
from learner.checkpoint import read_counters
from replay.tables import import_reverb, table_figures, table_task

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
    """What replay holds by item id: an id under two keys would be drawn twice as often as others."""

    def __init__(self, run: Path, port: int) -> None:
        config = load_config(run / "config.yaml")
        # Ray takes up its token when it is imported, and three_nodes sets it later than this module is.
        from gato_dist.run import make_tokenizer

        tokenizer = make_tokenizer(config, {task.name: load_reference(task.name) for task in config.tasks})
        self._shapes: dict[str, RowShape] = {
            task.name: row_shape(tokenizer.tasks[task.name], config.tokens.length) for task in config.tasks
        }
        self._client = import_reverb().Client(f"localhost:{port}")
        self._keys: dict[tuple[str, int], int] = {}

    def inserted(self) -> dict[str, int]:
        figures = table_figures(self._client.server_info(timeout=60))
        return {name: table["inserted"] for name, table in figures.items()}

    @property
    def known(self) -> int:
        """Different items that were seen."""
        return len(self._keys)

    def check(self) -> None:
        """Draws items of every table that has some. Raises AssertionError where one lies there twice."""
        info = self._client.server_info(timeout=60)
        for table, shape in ((table, self._shapes[table_task(table)]) for table in info):
            if info[table].current_size < 8:
                continue
            for sample in self._client.sample(table, SAMPLES, emit_timesteps=False):
                row = Rows.from_bytes(np.asarray(sample.data[0]).reshape(1, -1), shape)
                item, key = int(row.item_id[0]), int(np.ravel(sample.info.key)[0])
                known = self._keys.setdefault((table, item), key)
                assert known == key, f"{table}: item {item} lies there twice"
