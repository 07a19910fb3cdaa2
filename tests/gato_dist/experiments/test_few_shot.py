"""The few-shot experiment: nested subsets, resumed runs, and one clear line for the user's mistakes."""

import csv
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from xml.etree import ElementTree

import numpy as np
import pytest

from gato_dist.cli.main import main
from gato_dist.config.run_config import load_config, parse_config
from gato_dist.experiments import few_shot as module
from gato_dist.experiments.few_shot import few_shot
from gato_dist.experiments.few_shot_plan import FINE_TUNED, FROM_SCRATCH, FewShotRequest, FewShotRun, make_config
from gato_dist.experiments.few_shot_subset import write_subset
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
    arguments = ["train", str(root / "before.yaml"), "--data", str(root / "before"), "--run", str(root / "run")]
    assert main(arguments) == 0
    return root / "run/checkpoints/step-00000002", root / "data"


def test_subsets_are_nested_and_differ_between_series(made, tmp_path):
    dataset, held = Dataset.open(made[1]), {}
    for series in (0, 1):
        for episodes in (1, 3, 5):
            out = tmp_path / f"{series}.{episodes}"
            write_subset(dataset, TASK, FewShotRun(FINE_TUNED, episodes, series), 0, out)
            (shard,) = Dataset.open(out).shards[TASK]
            held[series, episodes] = {entry.provenance.seed for entry in shard.manifest.entries}
            assert len(held[series, episodes]) == episodes
    for series in (0, 1):
        assert held[series, 1] < held[series, 3] < held[series, 5] < set(dataset_seeds(0, 6))
    assert held[0, 3] != held[1, 3]


def test_an_interrupted_experiment_continues_and_writes_its_table_and_picture(made, tmp_path, monkeypatch, capsys):
    checkpoint, data = made
    request = FewShotRequest(
        task=TASK, checkpoint=checkpoint, out=tmp_path / "out", data=str(data), episodes=(1, 4), series=1, scores=2,
        overrides=("learner.steps=2", "learner.batch=8"),
    )  # fmt: skip
    trained = []

    def interrupt_the_third(request, run, config, dataset, train=module._train_and_score):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(run)
        return train(request, run, config, dataset)

    monkeypatch.setattr(module, "_train_and_score", interrupt_the_third)
    with pytest.raises(KeyboardInterrupt):
        few_shot(request)
    monkeypatch.undo()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/points").iterdir()}
    assert len(before) == 2
    few_shot(request)
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    with (tmp_path / "out/few_shot.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["way"], row["episodes"]) for row in rows] == [
        (way, n) for n in "14" for way in (FINE_TUNED, FROM_SCRATCH)
    ]
    assert all(np.isfinite(float(row["fraction"])) and row["step"] == "2" for row in rows)
    ElementTree.fromstring((tmp_path / "out/few_shot.svg").read_text())
    with pytest.raises(module.InputError, match="was started with scores 2, not 3; give another --out"):
        few_shot(replace(request, scores=3))
    more = tmp_path / "more"
    copytree(data, more)
    assert main(["collect", "--tasks", TASK, "--episodes", "7", "--out", str(more)]) == 0
    monkeypatch.setattr(module, "_open_data", lambda *_: Dataset.open(more))
    with pytest.raises(module.InputError, match="was started with episodes of the data"):
        few_shot(request)
    monkeypatch.undo()
    capsys.readouterr()
    # A wrong argument is reported in one line, before anything is written.
    for arguments, message in (
        ([TASK, str(tmp_path)], "not a checkpoint"),
        (["babyai/nothing", str(checkpoint)], "babyai/nothing"),
        ([TASK, str(checkpoint), "--data", str(data), "--episodes", "7"], "holds 6 episodes"),
        ([TASK, str(checkpoint), "learner.rows=3"], "learner.rows: no such key"),
    ):
        assert main(["experiment", "few-shot", *arguments, "--out", str(tmp_path / "new")]) == 2
        error = capsys.readouterr().err
        assert (message in error, error.count("\n")) == (True, 1), error
        assert not (tmp_path / "new").exists()


def test_configurations_have_the_papers_optimisation_and_the_checkpoints_model():
    preset = load_config(ROOT / "configs/finetune.yaml")
    before = parse_config(preset.model_dump(mode="json") | {"learner": {"learning_rate": 3e-3}}, "test")
    request = FewShotRequest(
        task="metaworld/reach-v3", checkpoint=Path("somewhere"), out=Path("out"), overrides=("learner.minutes=2",)
    )
    tuned, scratch = (make_config(before, request, variant) for variant in (FINE_TUNED, FROM_SCRATCH))
    for key in ("steps", "batch", "learning_rate", "warmup_steps", "final_lr_ratio", "weight_decay"):
        assert getattr(tuned.learner, key) == getattr(preset.learner, key), key
    assert tuned.model == preset.model
    assert (tuned.learner.minutes, scratch.learner.minutes) == (2, 2)
    assert (scratch.learner.learning_rate, scratch.learner.init) == (3e-3, None)
    assert tuned.learner.init.endswith("somewhere")
