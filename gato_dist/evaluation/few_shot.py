"""`gato-dist experiment few-shot`: what pretraining is worth on few episodes of another task (paper, section 5.2).

Every series draws an order of the episodes, whose first N are its subset of N: nested, and different between series.
Each subset trains the checkpoint and a new model of its kind, which are scored on the same held-out episodes. A point
is a file, written once it is scored: an experiment that was stopped goes on with the points that are missing.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from gato_dist.config.run_config import RunConfig, dump_config, load_config, parse_config
from gato_dist.config.sections import TaskConfig
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.plots.few_shot_chart import few_shot_svg
from gato_dist.scores.references import load_reference
from gato_dist.scores.results import TaskResult
from gato_dist.tasks import task_entry
from gato_dist.tokens.fitting import check_fit
from gato_dist.utils.console import make_console
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.files import flush
from gato_dist.utils.locks import hold_folder, is_unused
from gato_dist.utils.typed_json import to_json
from replay.dataset.dataset import Dataset
from replay.dataset.observation_moments import load_moments, save_moments
from replay.dataset.shards import EpisodeEntry, Shard, write_shard
from replay.dataset.storage import Location
from replay.dataset.writing import atomic_folder, write_settings

CONSOLE = make_console()
TUNED, SCRATCH = "fine-tuned", "from scratch"
WAYS = (TUNED, SCRATCH)
# Section 5.2: Adam at a constant 1e-5, batches of 64, dropout 0.1, 10,000 steps; configs/finetune.yaml has them too.
PAPER = {
    "steps": 10_000, "batch": 64, "learning_rate": 1e-5, "warmup_steps": 0, "final_share": 1.0, "weight_decay": 0.0,
}  # fmt: skip
DROPOUT = 0.1
MINUTES = 1.0  # of each run, where the user says nothing else: what a laptop can do
SUM = "episodes of the data"
SETTINGS, TABLE, PICTURE = "experiment.json", "few_shot.csv", "few_shot.svg"


@dataclass(frozen=True)
class Request:
    """What to compare, and where to keep it.

    data: a dataset with the task's episodes; None: its expert's are collected. episodes: sizes of the subsets.
    scores: held-out episodes of each point. scratch_rate: learning rate from scratch; None: the one that the
    checkpoint was trained with. overrides: `key=value`, of every run's configuration.
    """

    task: str
    checkpoint: Path
    out: Path
    data: str | None = None
    episodes: tuple[int, ...] = (1, 10, 100)
    series: int = 3
    scores: int = 20
    scratch_rate: float | None = None
    seed: int = 0
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Point:
    """One run: on the first `episodes` episodes of a series' order."""

    way: str
    episodes: int
    series: int

    @property
    def name(self) -> str:
        return f"series-{self.series}.episodes-{self.episodes:05d}.{self.way.replace(' ', '-')}"


def few_shot(request: Request) -> None:
    """Runs the points that are missing; writes the table and the picture after each of them.

    Raises InputError, before anything is trained, for what the user can mend; KeyboardInterrupt where it was stopped.
    """
    with hold_folder(request.out):
        _Experiment(request).run()


class _Experiment:
    """One start of an experiment."""

    def __init__(self, request: Request) -> None:
        from learner.checkpoint import content_hash, read_contents
        from learner.parallel import check_gpus

        task_entry(request.task)
        reference = load_reference(request.task)
        if reference.expert.mean <= reference.random.mean:
            raise InputError(f"{request.task}: its expert is no better than random, so that it has no fraction")
        self._request, out = request, request.out
        if not is_unused(out) and not (out / SETTINGS).is_file():
            raise InputError(f"--out: {out} is there already and no experiment; give another one")
        before = read_contents(request.checkpoint).config
        self._known = request.task in {task.name for task in before.tasks}
        self._configs = {way: make_config(before, request, way) for way in WAYS}
        check_gpus(self._configs[TUNED].learner)
        for config in self._configs.values():
            check_fit(config, [task_spec(request.task)])
        self._settings: dict[str, Any] = {
            "task": request.task, "checkpoint": content_hash(request.checkpoint), "data": request.data,
            "seed": request.seed, "scores": request.scores,
            "configs": {way: config.model_dump(mode="json") for way, config in self._configs.items()},
        }  # fmt: skip
        self._check_same()

    def run(self) -> None:
        if self._known:
            CONSOLE.print(f"{self._request.task} is among the checkpoint's own tasks: this is not few-shot learning")
        dataset = self._open_data()
        sums = [shard.manifest.sha256 for shard in dataset.shards[self._request.task]]
        # Among other episodes, the same draw would be another subset.
        self._settings[SUM] = hashlib.sha256(" ".join(sums).encode()).hexdigest()[:16]
        self._check_same()
        points = list(self._points())
        (self._request.out / "points").mkdir(parents=True, exist_ok=True)
        _write(self._request.out / SETTINGS, to_json(self._settings, indent=1) + "\n")
        for number, point in enumerate(points, 1):
            if not self._file(point).is_file():
                said = f"{number} of {len(points)}: series {point.series}, episodes {point.episodes}, {point.way}"
                CONSOLE.print(said, markup=False)
                self._play(point, dataset)
                self._draw(points)
        self._draw(points)
        CONSOLE.print(_table(self._results(points)))
        CONSOLE.print(f"{self._request.out / TABLE}   {self._request.out / PICTURE}", markup=False, soft_wrap=True)

    def _check_same(self) -> None:
        """Raises InputError where the folder holds points of another experiment, by the key that differs."""
        path = self._request.out / SETTINGS
        if not path.is_file():
            return
        try:
            before = _flat(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(f"{path}: damaged ({type(error).__name__}); give another --out") from error
        now = _flat(json.loads(to_json(self._settings)))
        # What the data are is known once they are there.
        for key in sorted((before.keys() | now.keys()) - ({SUM} - (before.keys() & now.keys()))):
            if before.get(key) != now.get(key):
                old, new = before.get(key), now.get(key)
                raise InputError(f"{self._request.out}: was begun with {key} {old!r}, not {new!r}; give another --out")

    def _open_data(self) -> Dataset:
        """Raises InputError where it holds too few episodes."""
        request, most = self._request, max(self._request.episodes)
        if request.data is None:
            from gato_dist.datasets.collect import Request as Wanted
            from gato_dist.datasets.collect import collect
            from gato_dist.datasets.collect_plan import Goal

            where = Location.of(str(request.out / "data"))
            # The settings first: a folder of an experiment must be known as one when it is stopped here.
            request.out.mkdir(parents=True, exist_ok=True)
            if not (request.out / SETTINGS).exists():
                _write(request.out / SETTINGS, to_json(self._settings, indent=1) + "\n")
            collect(Wanted(self._configs[TUNED].tasks, Goal(most), where, seed=request.seed))
        else:
            where = Location.of(request.data)
        dataset = Dataset.open(where)
        dataset.spec(request.task)
        count = len(_entries(dataset, request.task))
        if count < most:
            raise InputError(f"--episodes: {where} holds {count} episodes of {request.task}, {most} are wanted")
        return dataset

    def _points(self) -> Iterator[Point]:
        """A series after the other, so that one that is stopped has whole ones."""
        for series in range(self._request.series):
            for episodes in self._request.episodes:
                for way in WAYS:
                    yield Point(way, episodes, series)

    def _file(self, point: Point) -> Path:
        return self._request.out / "points" / f"{point.name}.json"

    def _play(self, point: Point, dataset: Dataset) -> None:
        from gato_dist.evaluation.checkpoint import Request as Scored
        from gato_dist.evaluation.checkpoint import evaluate_checkpoint
        from gato_dist.records.run_folder import RunFolder
        from gato_dist.training.offline import train_from_disk

        request, folder = self._request, RunFolder(self._request.out / "runs" / point.name)
        subset = request.out / "subsets" / f"{point.series}-{point.episodes}"
        if not subset.exists():
            write_subset(dataset, request.task, point, request.seed, subset)
        config = self._configs[point.way].model_copy(update={"seed": request.seed * 1000 + point.series})
        train_from_disk(config, folder, (folder.root / "config.yaml").exists(), str(subset))
        newest = max(path for path in folder.checkpoints.glob("step-*") if path.suffix != ".partial")
        (result,) = evaluate_checkpoint(Scored(newest, request.task, request.scores))
        _write(self._file(point), to_json(asdict(point) | {"result": result.to_dict()}) + "\n")
        # Its figures stay; checkpoints of every point would fill a disk.
        shutil.rmtree(folder.root)
        if point.way == WAYS[-1]:
            shutil.rmtree(subset)

    def _results(self, points: list[Point]) -> list[tuple[Point, TaskResult]]:
        """Of those that are there. Raises InputError where a file is damaged."""
        found = []
        for point in points:
            path = self._file(point)
            if path.is_file():
                try:
                    found.append((point, TaskResult.from_dict(json.loads(path.read_text("utf-8"))["result"])))
                except (ValueError, KeyError, TypeError) as error:
                    raise InputError(f"{path}: no point of an experiment; delete it, and it is run again") from error
        return found

    def _draw(self, points: list[Point]) -> None:
        results, out = self._results(points), self._request.out
        partial = out / f"{TABLE}.partial"
        with partial.open("w", encoding="utf-8", newline="") as file:
            names = ["way", "episodes", "series", "task", "step", "scored_episodes", "random", "expert", "mean", "std"]
            writer = csv.writer(file)
            writer.writerow([*names, "fraction", "ci_low", "ci_high", "success", "tokens", "seconds"])
            for point, result in results:
                row = result.row
                figures = [row.random, row.expert, row.mean, row.std, row.fraction, row.ci_low, row.ci_high]
                writer.writerow(
                    [point.way, point.episodes, point.series, row.task, row.step, row.episodes, *figures,
                     "" if result.success is None else result.success, result.tokens, round(result.seconds, 1)]
                )  # fmt: skip
        partial.rename(out / TABLE)
        _write(out / PICTURE, few_shot_svg(self._request.task, fractions(results)))


def make_config(before: RunConfig, request: Request, way: str) -> RunConfig:
    """The runs' configuration: tokens, model and evaluation of the checkpoint's `before`, the paper's optimisation.

    The task is shown as that run showed its tasks of the same suite. Raises InputError, naming the key, for overrides
    that make no sense.
    """
    plain = before.model_dump(mode="json")
    suite = request.task.split("/")[0]
    like = next((task for task in before.tasks if task.name.split("/")[0] == suite), None)
    window = {"window_steps": like.window_steps} if like else {}
    rate = {"learning_rate": request.scratch_rate or before.learner.learning_rate} if way == SCRATCH else {}
    init = {"init": str(request.checkpoint.absolute()) if way == TUNED else None}
    made = {
        "name": "few-shot",
        "tasks": [TaskConfig(name=request.task, **window).model_dump(mode="json")],
        "tokens": plain["tokens"], "model": plain["model"] | {"dropout": DROPOUT}, "evaluation": plain["evaluation"],
        "learner": plain["learner"] | PAPER | {"minutes": MINUTES, "keep_checkpoints": 1} | init,
        "data": {"loaders": plain["data"]["loaders"]},
    }  # fmt: skip
    merged = _overridden(parse_config(made, "few-shot"), request.overrides).model_dump(mode="json")
    merged["learner"] |= rate
    return parse_config(merged, "few-shot")


def write_subset(dataset: Dataset, task: str, point: Point, seed: int, out: Path) -> None:
    """Writes the first episodes of a series' order as a dataset of their own; it appears whole."""
    entries = _entries(dataset, task)
    order = np.random.default_rng([seed, point.series]).permutation(len(entries))[: point.episodes]
    with atomic_folder(out) as folder:
        episodes = {}
        for index in sorted(order.tolist()):
            shard, entry = entries[index]
            episodes[index] = shard.episode(entry)
        path = folder / task_file_name(task) / "000000"
        path.parent.mkdir()
        write_shard(path, dataset.spec(task), episodes)
        moments = load_moments(dataset.root)
        save_moments(Location.of(str(folder)), {task: moments[task]} if task in moments else {})
        write_settings(folder, {"policy": dataset.settings["policy"], "episodes": {task: len(order)}})


def fractions(results: list[tuple[Point, TaskResult]]) -> dict[str, dict[int, list[float]]]:
    """Expert-score fractions by way and number of episodes, one a series."""
    found: dict[str, dict[int, list[float]]] = {way: {} for way in WAYS}
    for point, result in results:
        if result.row.fraction is not None:
            found[point.way].setdefault(point.episodes, []).append(result.row.fraction)
    return found


def _entries(dataset: Dataset, task: str) -> list[tuple[Shard, EpisodeEntry]]:
    return [(shard, entry) for shard in dataset.shards[task] for entry in shard.manifest.entries]


def _overridden(config: RunConfig, overrides: tuple[str, ...]) -> RunConfig:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        path = Path(folder) / "few-shot"
        path.write_text(dump_config(config), "utf-8")
        try:
            return load_config(path, list(overrides))
        except InputError as error:
            raise InputError(str(error).removeprefix(f"{path}: ")) from error


def _table(results: list[tuple[Point, TaskResult]]) -> Table:
    table = Table(title="expert-score fraction: mean (least … most) over series", box=None, pad_edge=False)
    found = fractions(results)
    for name in ("episodes", *WAYS):
        table.add_column(name, justify="right")
    for episodes in sorted({size for curve in found.values() for size in curve}):
        cells = []
        for way in WAYS:
            some = found[way].get(episodes)
            cells.append(f"{np.mean(some):.2f} ({min(some):.2f} … {max(some):.2f})" if some else "–")
        table.add_row(str(episodes), *cells)
    return table


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def _write(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, "utf-8")
    flush(partial)
    partial.rename(path)
