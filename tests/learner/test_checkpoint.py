"""Checkpoints: exact resumption, damaged and foreign ones, background writing, best weights and exported files."""

import itertools
import json
import shutil
import threading

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gato_dist.cli.main import main
from gato_dist.config.run_config import parse_config
from gato_dist.errors import InputError
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.table import MeanPoint
from gato_dist.sequence import DataPosition
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from learner.best_weights import BestWeights
from learner.checkpoint import (
    Counters,
    Snapshot,
    build_model,
    data_position,
    export_weights,
    load_for_acting,
    read_contents,
)
from learner.checkpoint_folder import CheckpointFailed, CheckpointFolder
from learner.learner import Learner
from learner.train import train
from tests.learner.test_train import FakeHost, make_batch, make_config, make_tokenizer
from tests.support.fakes import BUTTONS

FILES = ("config.yaml", "tokenizer.json", "text.model", "model.safetensors", "optimizer.safetensors", "counters.json")


def batches(position: DataPosition):
    """Yields batches that depend only on their number, like the loader's; the cursor holds the number."""
    for number in itertools.count(position.batches):
        batch = make_batch(number)
        batch.cursor = np.array([[[number + 1, 7]]])
        yield batch


def run(root, steps=6, stop=10**9, **learner):
    """Trains like `train --data`: a resumed run continues at its checkpoint's position in the data."""
    config = parse_config(
        (plain := make_config(steps=steps, **learner).model_dump(mode="json"))
        | {"model": plain["model"] | {"dropout": 0.2}},
        "test",
    )
    folder, host = CheckpointFolder(root, 2), FakeHost(stop)
    newest = folder.newest_valid(config, make_tokenizer())
    position = (newest and data_position(newest)) or DataPosition.start("data", 0, 1, 1)
    train(config, make_tokenizer(), batches=batches(position), host=host, folder=folder, position=position)
    return host, folder.newest()


def small_folder(root, *steps: int, keep: int = 2) -> CheckpointFolder:
    config, tokenizer, folder = make_config(), make_tokenizer(), CheckpointFolder(root, keep)
    learner = Learner.for_run(config, tokenizer)
    learner.step(make_batch())
    for step in steps:
        folder.save(
            Snapshot.take(config, tokenizer, model=learner.model, optimizer=learner.optimizer, counters=Counters(step))
        )
    folder.wait()
    return folder


def resumable(root):
    """Returns the checkpoint that a new start resumes from, and the reasons for skipping others."""
    folder = CheckpointFolder(root, 2)
    return folder.newest_valid(make_config(), make_tokenizer()), folder.refused


def test_a_resumed_run_ends_with_bit_identical_checkpoints(tmp_path):
    settings = {"steps": 9, "warmup_steps": 3}
    _, unbroken = run(tmp_path / "whole", **settings)
    for stop in (2, 3, 10**9):
        _, cut = run(tmp_path / "cut", stop=stop, **settings)
    for name in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = load_file(cut / name), load_file(unbroken / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    ours, theirs = (json.loads((path / "counters.json").read_text()) for path in (cut, unbroken))
    assert [ours[key] for key in ("step", "tokens", "data")] == [theirs[key] for key in ("step", "tokens", "data")]
    assert ours["data"]["cursor"] == [[[9, 7]]]


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip, cut, lambda path: path.unlink()], ids=["flipped", "cut", "gone"])
def test_a_damaged_checkpoint_is_skipped_and_named(tmp_path, damage, name):
    small_folder(tmp_path, 1, 2)
    damage(tmp_path / "step-00000002" / name)
    path, (line,) = resumable(tmp_path)
    assert path.name == "step-00000001"
    assert f"step-00000002/{name}" in line


def test_a_folder_without_a_valid_manifest_is_skipped(tmp_path):
    small_folder(tmp_path, 1, 2)
    for damage in (lambda path: path.write_text("{}"), lambda path: path.write_text("no"), lambda path: path.unlink()):
        damage(tmp_path / "step-00000002/manifest.json")
        assert resumable(tmp_path)[0].name == "step-00000001"


def test_if_no_checkpoint_is_valid_the_error_names_all(tmp_path):
    small_folder(tmp_path, 1, 2)
    cut(tmp_path / "step-00000001/model.safetensors")
    flip(tmp_path / "step-00000002/config.yaml")
    with pytest.raises(InputError, match=r"step-00000002/config.yaml: damaged.*step-00000001/model.safetensors"):
        resumable(tmp_path)


def test_a_checkpoint_of_another_run_is_skipped(tmp_path):
    small_folder(tmp_path, 1)
    wide = parse_config(
        (plain := make_config().model_dump(mode="json")) | {"model": plain["model"] | {"feed_forward": 32}}, "test"
    )
    other = Tokenizer([BUTTONS], TextTokenizer.load(), scheme="disjoint", encoding="paper", statistics={})
    for config, tokenizer, reason in ((wide, make_tokenizer(), "model.feed_forward"), (wide, other, "tokenizer")):
        learner, folder = Learner.for_run(config, tokenizer), CheckpointFolder(tmp_path, 9)
        folder.save(
            Snapshot.take(config, tokenizer, model=learner.model, optimizer=learner.optimizer, counters=Counters(2))
        )
        folder.wait()
        path, (line,) = resumable(tmp_path)
        assert path.name == "step-00000001"
        assert reason in line


def test_a_run_resumes_from_the_previous_checkpoint_and_deletes_the_damaged_one(tmp_path):
    run(tmp_path, stop=3)
    _, newest = run(tmp_path, stop=1)
    assert newest.name == "step-00000004"
    flip(newest / "optimizer.safetensors")
    _, newest = run(tmp_path)
    assert newest.name == "step-00000006"
    assert {path.name for path in tmp_path.iterdir()} == {"step-00000003", "step-00000006"}
    reference, _ = run(tmp_path / "unbroken")
    for name, array in reference.versions[-1][2].items():
        assert np.array_equal(array, load_file(newest / "model.safetensors")[name].numpy())


def test_training_continues_while_a_checkpoint_is_written_and_waits_for_the_last_one(tmp_path, monkeypatch):
    """The writer is blocked until the learner has made its last step."""
    host, write, at_once = FakeHost(), Snapshot.write, []
    last = threading.Event()

    def slow(self, folder):
        at_once.append(self.counters.step)
        assert last.wait(60)
        write(self, folder)

    def publish(version, step, weights, publish=host.publish):
        publish(version, step, weights)
        if step == 6:
            last.set()

    monkeypatch.setattr(Snapshot, "write", slow)
    host.publish = publish
    config = make_config(steps=6, checkpoint_seconds=1e-9)
    stream = (make_batch(seed) for seed in itertools.count())
    train(config, make_tokenizer(), batches=stream, host=host, folder=CheckpointFolder(tmp_path, 9))
    # Only one write at a time: checkpoints that were due in the meantime were skipped.
    assert at_once == [0, 6]
    saved = load_file(tmp_path / "step-00000006/model.safetensors")
    assert all(np.array_equal(array, saved[name].numpy()) for name, array in host.versions[-1][2].items())
    first = load_file(tmp_path / "step-00000000/model.safetensors")
    fresh = build_model(config, make_tokenizer()).state_dict()
    assert all(torch.equal(tensor, first[name]) for name, tensor in fresh.items())


def test_the_fifth_failed_checkpoint_ends_the_run(tmp_path, monkeypatch):
    tried = []

    def fail(self, folder):
        tried.append(folder.name)
        raise OSError("no space left on device")

    monkeypatch.setattr(Snapshot, "write", fail)
    with pytest.raises(CheckpointFailed, match=r"step-\d+.*no space left"):
        run(tmp_path, steps=10**6, checkpoint_seconds=1e-9)
    assert len(tried) == len(set(tried)) == 5
    assert list(tmp_path.iterdir()) == []


def test_the_best_weights_are_replaced_only_by_better_ones(tmp_path):
    small_folder(tmp_path, 1)
    config, tokenizer, model, _ = load_for_acting(tmp_path / "step-00000001")
    weights = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    best = BestWeights(tmp_path, config, tokenizer)
    assert best.fraction == float("-inf")
    for version, mean in ((3, 0.5), (7, 0.8)):
        kept = best.keep(
            weights,
            Counters(version, 10, 1.0, version),
            MeanPoint(version=version, step=version, oldest_version=2, mean=mean, rows=()),
        )
        small_folder(tmp_path, 10 + version, 11 + version)
    assert [path.name for path in tmp_path.glob("best-*")] == [kept.name] == ["best-v000007.safetensors"]
    assert BestWeights(tmp_path, config, tokenizer).fraction == 0.8
    assert json.loads((tmp_path / "best.json").read_text())["oldest_version"] == 2
    _, _, acting, counters = load_for_acting(kept)
    assert counters.weights_version == 7
    assert all(torch.equal(tensor, acting.state_dict()[name]) for name, tensor in model.state_dict().items())
    kept.unlink()
    assert best.fraction == float("-inf"), "best.json without its weights file is ignored"


def test_an_exported_file_loads_like_its_checkpoint(tmp_path, capsys):
    small_folder(tmp_path, 3)
    out = tmp_path / "weights.safetensors"
    assert main(["checkpoint", "export", str(tmp_path / "step-00000003"), "--out", str(out)]) == 0
    (config, tokenizer, model, counters), theirs = load_for_acting(out), load_for_acting(tmp_path / "step-00000003")
    assert (config, tokenizer.fingerprint, counters) == (theirs[0], theirs[1].fingerprint, theirs[3])
    for name, tensor in theirs[2].state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    with pytest.raises(InputError, match="exists already"):
        export_weights(tmp_path / "step-00000003", out)
    capsys.readouterr()
    for path in (out, tmp_path / "step-00000003"):
        assert main(["checkpoint", "info", str(path)]) == 0
        assert tokenizer.fingerprint in capsys.readouterr().out


@pytest.mark.parametrize("damage", [flip, cut], ids=["flipped", "cut"])
def test_a_damaged_weights_file_is_refused(tmp_path, damage):
    small_folder(tmp_path, 3)
    out = tmp_path / "weights.safetensors"
    export_weights(tmp_path / "step-00000003", out)
    damage(out)
    with pytest.raises(InputError, match=r"weights.safetensors.*damaged"):
        read_contents(out)


@pytest.mark.parametrize("words", [["checkpoint", "info"], ["evaluate"]])
def test_commands_refuse_a_damaged_checkpoint_in_one_line(tmp_path, capsys, words):
    small_folder(tmp_path, 3)
    path = tmp_path / "step-00000003"
    shutil.copytree(path, tmp_path / "kept")
    cut(path / "model.safetensors")
    assert main([*words, str(path)]) == 2
    assert "model.safetensors: damaged" in capsys.readouterr().err
    # Acting does not need the optimizer state.
    (tmp_path / "kept/optimizer.safetensors").unlink()
    assert read_contents(tmp_path / "kept").counters.step == 3


def test_a_half_written_checkpoint_of_a_killed_run_is_deleted(tmp_path):
    small_folder(tmp_path / "checkpoints", 1)
    (tmp_path / "checkpoints/step-00000002.partial").mkdir()
    (tmp_path / "checkpoints/best.json.partial").touch()
    RunFolder(tmp_path).open(make_config())
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
