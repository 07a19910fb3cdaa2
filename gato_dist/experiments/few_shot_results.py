"""The folder of a few-shot experiment: its settings, the result of each run, the table and the picture.

The result of each run is a file of its own, so that an experiment that was stopped continues with the missing runs.
"""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gato_dist.errors import READ_ERRORS, InputError
from gato_dist.experiments.few_shot_plan import VARIANTS, FewShotRun
from gato_dist.plots.curves import draw_few_shot
from gato_dist.plots.figure import to_svg
from gato_dist.scores.results import TaskResult
from gato_dist.utils.files import fsync
from gato_dist.utils.locks import is_unused
from gato_dist.utils.typed_json import to_json

SETTINGS, TABLE, PICTURE = "experiment.json", "few_shot.csv", "few_shot.svg"
# Key of the data's digest, which is unknown until the data are collected.
DATA_DIGEST = "episodes of the data"
COLUMNS = (
    "way", "episodes", "series", "task", "step", "scored_episodes", "random", "expert", "mean", "std", "fraction",
    "ci_low", "ci_high", "success", "tokens", "seconds",
)  # fmt: skip
RunResult = tuple[FewShotRun, TaskResult]


class ExperimentFolder:
    """Reads and writes the files of one experiment."""

    def __init__(self, root: Path) -> None:
        """Opens a folder for an experiment.

        Raises:
            InputError: if the folder holds something else.
        """
        self.root = root
        self.table, self.picture = root / TABLE, root / PICTURE
        self._settings = root / SETTINGS
        if not is_unused(root) and not self._settings.is_file():
            raise InputError(f"--out: {root} exists already and is not an experiment; give another folder")

    def check_settings(self, settings: dict[str, Any]) -> None:
        """Compares settings with those in the folder, if it holds any. The data's digest may be missing in either.

        Raises:
            InputError: if they differ. The message names the key.
        """
        if not self._settings.is_file():
            return
        try:
            before = _flat(json.loads(self._settings.read_text("utf-8")))
        except READ_ERRORS as error:
            raise InputError(f"{self._settings}: damaged ({type(error).__name__}); give another --out") from error
        now = _flat(json.loads(to_json(settings)))
        for key in sorted(before.keys() | now.keys()):
            if key == DATA_DIGEST and not (key in before and key in now):
                continue
            if before.get(key) != now.get(key):
                old, new = before.get(key), now.get(key)
                raise InputError(f"{self.root}: was started with {key} {old!r}, not {new!r}; give another --out")

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Writes the settings, over older ones."""
        self.root.mkdir(parents=True, exist_ok=True)
        _write(self._settings, to_json(settings, indent=1) + "\n")

    @property
    def has_settings(self) -> bool:
        """Whether the experiment was started before."""
        return self._settings.exists()

    def has_result(self, run: FewShotRun) -> bool:
        """Whether a run was trained and scored."""
        return self._result_file(run).is_file()

    def write_result(self, run: FewShotRun, result: TaskResult) -> None:
        """Writes what a run scored."""
        known = {"way": run.variant, "episodes": run.episodes, "series": run.series, "result": result.to_dict()}
        self._result_file(run).parent.mkdir(exist_ok=True)
        _write(self._result_file(run), to_json(known) + "\n")

    def results(self, runs: Sequence[FewShotRun]) -> list[RunResult]:
        """Returns the results of those runs that have one.

        Raises:
            InputError: if a file is damaged.
        """
        found = []
        for run in runs:
            if self.has_result(run):
                path = self._result_file(run)
                try:
                    found.append((run, TaskResult.from_dict(json.loads(path.read_text("utf-8"))["result"])))
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}: not a run's result; delete it to train the run again") from error
        return found

    def write_summary(self, task: str, runs: Sequence[FewShotRun]) -> None:
        """Writes the table and the picture of all results so far. Raises InputError as `results` does."""
        results = self.results(runs)
        _write_table(self.table, results)
        _write(self.picture, to_svg(draw_few_shot(task, fractions(results))))

    def _result_file(self, run: FewShotRun) -> Path:
        return self.root / "points" / f"{run.name}.json"


def fractions(results: Sequence[RunResult]) -> dict[str, dict[int, list[float]]]:
    """Returns the expert-score fractions by variant and number of episodes, one for each series."""
    found: dict[str, dict[int, list[float]]] = {variant: {} for variant in VARIANTS}
    for run, result in results:
        if result.row.fraction is not None:
            found[run.variant].setdefault(run.episodes, []).append(result.row.fraction)
    return found


def summary_table(results: Sequence[RunResult]) -> Table:
    """Returns a table for the terminal: the mean fraction over series, by number of episodes and variant."""
    table = Table(title="expert-score fraction: mean (min … max) over series", box=None, pad_edge=False)
    found = fractions(results)
    for name in ("episodes", *VARIANTS):
        table.add_column(name, justify="right")
    for episodes in sorted({size for curve in found.values() for size in curve}):
        cells = []
        for variant in VARIANTS:
            values = found[variant].get(episodes)
            cells.append(f"{np.mean(values):.2f} ({min(values):.2f} … {max(values):.2f})" if values else "–")
        table.add_row(str(episodes), *cells)
    return table


def _write_table(path: Path, results: Sequence[RunResult]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for run, result in results:
            row = result.row
            writer.writerow(
                [run.variant, run.episodes, run.series, row.task, row.step, row.episodes,
                 row.random, row.expert, row.mean, row.std, row.fraction, row.ci_low, row.ci_high,
                 "" if result.success is None else result.success, result.tokens, round(result.seconds, 1)]
            )  # fmt: skip
    partial.rename(path)


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    fsync(partial)
    partial.rename(path)


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as one level of dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat
