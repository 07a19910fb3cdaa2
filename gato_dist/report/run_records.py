"""Reads what a run folder records: scores, episodes, training scalars, cost, usage of replay and quarantine."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gato_dist.errors import InputError
from gato_dist.plots.figure import Points
from gato_dist.plots.panels import SCALARS
from gato_dist.plots.score_rows import newest_rows
from gato_dist.records.cost import Cost
from gato_dist.records.quarantine import Quarantined, read_quarantine
from gato_dist.records.run_folder import RunFolder
from gato_dist.records.usage import read_usage
from gato_dist.scores.results import EpisodeLog, TaskResult
from gato_dist.scores.table import ScoreRow, ScoreTable


@dataclass(frozen=True, kw_only=True)
class RunRecords:
    """The records of one run folder.

    Attributes:
        folder: the folder's name.
        config: config.yaml, as text.
        rows: all rows of scores.csv.
        results: all results of episodes.jsonl.
        scalars: (step, value) points of the TensorBoard tags in `SCALARS`.
        cost: cost.json; None if the run has none.
        usage: counters of usage.json.
        quarantined: quarantine.json.
    """

    folder: str
    config: str
    rows: Sequence[ScoreRow]
    results: Sequence[TaskResult]
    scalars: dict[str, Points]
    cost: Cost | None
    usage: Counter[str]
    quarantined: Sequence[Quarantined]

    @classmethod
    def load(cls, run: Path) -> "RunRecords":
        """Reads a run folder.

        Args:
            run: the folder. A missing tensorboard folder, episodes.jsonl, cost.json, usage.json or quarantine.json
                counts as empty.

        Raises:
            InputError: if scores.csv or config.yaml is missing, or a file cannot be read.
        """
        check_run_folder(run)
        folder = RunFolder(run)
        return cls(
            folder=run.resolve().name,
            config=(run / "config.yaml").read_text("utf-8", errors="replace"),
            rows=read_rows(run),
            results=EpisodeLog(folder.episodes).read(),
            scalars=_read_scalars(folder.tensorboard),
            cost=Cost.load(folder.cost),
            usage=read_usage(folder.usage),
            quarantined=read_quarantine(folder.quarantine),
        )


def check_run_folder(run: Path) -> None:
    """Raises InputError if a folder lacks scores.csv or config.yaml."""
    for name in ("scores.csv", "config.yaml"):
        if not (run / name).is_file():
            raise InputError(f"{run}: no {name} here; give the folder of a run, as `gato-dist train` writes it")


def read_rows(run: Path) -> list[ScoreRow]:
    """Returns the rows of a run's scores.csv.

    Raises:
        InputError: if the folder is not a run's, or a line of the file is not a score.
    """
    check_run_folder(run)
    return ScoreTable.read(run / "scores.csv")


def newest_results(rows: Sequence[ScoreRow], results: Sequence[TaskResult]) -> list[TaskResult]:
    """Returns the results that belong to each task's newest row, grouped by suite.

    Args:
        rows: all rows of scores.csv.
        results: all results of episodes.jsonl. A task whose newest row has no result is left out.
    """
    kept = {(result.row.task, result.row.weights_version, result.row.episodes): result for result in results}
    keys = [(row.task, row.weights_version, row.episodes) for row in newest_rows(rows)]
    return [kept[key] for key in keys if key in kept]


def _read_scalars(folder: Path) -> dict[str, Points]:
    """The finite points of the tags in `SCALARS`. If a resumed run logged a step again, the later value counts."""
    if not any(folder.glob("*tfevents*")):
        return {}
    # TensorBoard's own switch: without it, reading imports TensorFlow, which takes seconds and prints to the terminal.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 2000})
    events.Reload()
    scalars: dict[str, Points] = {}
    for tag in SCALARS:
        if tag in events.Tags()["scalars"]:
            values = {event.step: event.value for event in events.Scalars(tag)}
            scalars[tag] = [(step, value) for step, value in sorted(values.items()) if math.isfinite(value)]
    return scalars
