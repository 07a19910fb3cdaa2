"""The few-shot experiment: nested subsets, points that stay, and one clear line for what the user can mend."""

import csv
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from xml.etree import ElementTree

import numpy as np
import pytest

from gato_dist.cli.main import main
from gato_dist.config.run_config import load_config, parse_config
from gato_dist.evaluation import few_shot as module
from gato_dist.evaluation.few_shot import SCRATCH, TUNED, Point, Request, few_shot, make_config, write_subset
from gato_dist.plots.few_shot_chart import few_shot_svg
from gato_dist.seeds import dataset_seeds
from replay.dataset.dataset import Dataset
from tests.support.paths import ROOT

TASK, OTHER = "babyai/go-to-obj", "babyai/go-to-red-ball-grey"
CONFIG = f"""
name: before
tasks: [{{name: {OTHER}, window_steps: 3}}]
model: {{width: 16, layers: 1, heads: 1, key_size: 16, feed_forward: 32, patch_channels: 8}}
learner: {{steps: 2, batch: 8, learning_rate: 0.004}}
data: {{loaders: 0}}
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, Path]:
    """A checkpoint, and a dataset of another task."""
    root = tmp_path_factory.mktemp("few")
    for name, task in (("before", OTHER), ("data", TASK)):
        assert main(["collect", "--tasks", task, "--episodes", "6", "--out", str(root / name)]) == 0
    (root / "before.yaml").write_text(CONFIG)
    words = ["train", str(root / "before.yaml"), "--data", str(root / "before"), "--run", str(root / "run")]
    assert main(words) == 0
    return root / "run/checkpoints/step-00000002", root / "data"


def test_subsets_are_nested_and_differ_between_series(made, tmp_path):
    dataset, held = Dataset.open(made[1]), {}
    for series in (0, 1):
        for episodes in (1, 3, 5):
            out = tmp_path / f"{series}.{episodes}"
            write_subset(dataset, TASK, Point(TUNED, episodes, series), 0, out)
            (shard,) = Dataset.open(out).shards[TASK]
            held[series, episodes] = {entry.provenance.seed for entry in shard.manifest.entries}
            assert len(held[series, episodes]) == episodes
    for series in (0, 1):
        assert held[series, 1] < held[series, 3] < held[series, 5] < set(dataset_seeds(0, 6))
    assert held[0, 3] != held[1, 3]


def test_an_experiment_that_was_stopped_goes_on_and_draws_its_curve(made, tmp_path, monkeypatch, capsys):
    checkpoint, data = made
    learner = ("learner.steps=2", "learner.batch=8")
    request = Request(TASK, checkpoint, tmp_path / "out", str(data), (1, 4), 1, 2, None, 0, learner)
    played = []

    def stop_after_two(self, point, dataset, play=module._Experiment._play) -> None:
        if len(played) == 2:
            raise KeyboardInterrupt
        played.append(point)
        play(self, point, dataset)

    monkeypatch.setattr(module._Experiment, "_play", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        few_shot(request)
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/points").iterdir()}
    assert len(before) == 2
    few_shot(request)
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    with (tmp_path / "out/few_shot.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["way"], row["episodes"]) for row in rows] == [(way, n) for n in "14" for way in (TUNED, SCRATCH)]
    assert all(np.isfinite(float(row["fraction"])) and row["step"] == "2" for row in rows)
    ElementTree.fromstring((tmp_path / "out/few_shot.svg").read_text())
    with pytest.raises(module.InputError, match="was begun with scores 2, not 3; give another --out"):
        few_shot(replace(request, scores=3))
    more = tmp_path / "more"
    copytree(data, more)
    assert main(["collect", "--tasks", TASK, "--episodes", "7", "--out", str(more)]) == 0
    monkeypatch.setattr(module._Experiment, "_open_data", lambda self: Dataset.open(more))
    with pytest.raises(module.InputError, match="was begun with episodes of the data"):
        few_shot(request)
    monkeypatch.undo()
    capsys.readouterr()
    # A wrong word is one line, before anything is written.
    for words, says in (
        ([TASK, str(tmp_path)], "not a checkpoint"),
        (["babyai/nothing", str(checkpoint)], "babyai/nothing"),
        ([TASK, str(checkpoint), "--data", str(data), "--episodes", "7"], "holds 6 episodes"),
        ([TASK, str(checkpoint), "learner.rows=3"], "learner.rows: no such key"),
    ):
        assert main(["experiment", "few-shot", *words, "--out", str(tmp_path / "new")]) == 2
        error = capsys.readouterr().err
        assert (says in error, error.count("\n")) == (True, 1), error
        assert not (tmp_path / "new").exists()


def test_runs_have_the_papers_settings_and_the_checkpoints_model():
    preset = load_config(ROOT / "configs/finetune.yaml")
    before = parse_config(preset.model_dump(mode="json") | {"learner": {"learning_rate": 3e-3}}, "test")
    request = Request("metaworld/reach-v3", Path("somewhere"), Path("out"), overrides=("learner.minutes=2",))
    tuned, scratch = (make_config(before, request, way) for way in (TUNED, SCRATCH))
    for key in ("steps", "batch", "learning_rate", "warmup_steps", "final_lr_ratio", "weight_decay"):
        assert getattr(tuned.learner, key) == getattr(preset.learner, key), key
    assert tuned.model == preset.model
    assert (tuned.learner.minutes, scratch.learner.minutes) == (2, 2)
    assert (scratch.learner.learning_rate, scratch.learner.init) == (3e-3, None)
    assert tuned.learner.init.endswith("somewhere")


def test_the_picture_holds_every_series_and_says_what_the_lines_are():
    svg = few_shot_svg("suite/task", {TUNED: {1: [0.1, 0.2], 100: [0.9, 0.7]}, SCRATCH: {1: [0.0, 0.0]}})
    assert svg.count("<circle") == 6
    assert all(name in svg for name in (TUNED, SCRATCH, "suite/task", ">100<", "episodes to learn from"))
    ElementTree.fromstring(svg)
    ElementTree.fromstring(few_shot_svg("suite/task", {TUNED: {}, SCRATCH: {}}))
