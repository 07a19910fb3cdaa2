"""Checkpoints and best weights on a full disk: the error names the file, writing is retried, valid files stay."""

import itertools
import time

import numpy as np
import pytest

from gato_dist.errors import InputError
from gato_dist.scores.table import MeanPoint
from learner.best_weights import BestWeights, read_best
from learner.checkpoint import Counters, Snapshot, export_weights
from learner.checkpoint_folder import CheckpointFailed, CheckpointFolder
from learner.train import train
from tests.learner.test_train import FakeHost, make_batch, make_config, make_tokenizer, run
from tests.support.full_disk import fill, small_disk


def train_waiting_for_writers(folder: CheckpointFolder, steps: int) -> FakeHost:
    """A run that tries to write a checkpoint before every step."""

    def batches():
        for seed in itertools.count():
            while folder.busy:
                time.sleep(0.001)
            yield make_batch(seed)

    host, config = FakeHost(), make_config(steps=steps, checkpoint_seconds=1e-9)
    train(config, make_tokenizer(), batches=batches(), host=host, folder=folder)
    return host


def test_a_checkpoint_that_does_not_fit_is_reported_and_the_next_one_is_tried(tmp_path, monkeypatch):
    write, calls = Snapshot.write, itertools.count()

    def write_later(self, folder):
        if next(calls) < 3:
            raise OSError(28, "No space left on device")
        write(self, folder)

    monkeypatch.setattr(Snapshot, "write", write_later)
    host = train_waiting_for_writers(CheckpointFolder(tmp_path, 2), 8)
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000007", "step-00000008"]
    assert len(host.notes) == 3
    assert host.notes[0].startswith(f"{tmp_path}/step-00000000: the checkpoint could not be written: no space left")
    assert host.notes[2].endswith("(3 of 5 failed)")


def test_a_run_ends_if_no_checkpoint_fits_and_the_previous_one_stays_valid(tmp_path):
    with small_disk(tmp_path / "disk", 16 * 1024) as disk:
        run(disk, FakeHost(), make_config(steps=2))
        fill(disk, leave=64)
        folder = CheckpointFolder(disk, 2)
        with pytest.raises(CheckpointFailed, match=r"step-0000000\d: .*no space left on its disk; free some"):
            train_waiting_for_writers(folder, 1000)
        assert folder.newest_valid(make_config(), make_tokenizer()) == disk / "step-00000002"
        assert sorted(path.name for path in disk.iterdir()) == ["ballast", "step-00000002"]
        (disk / "ballast").unlink()
        assert run(disk, FakeHost(), make_config(steps=4)).step == 4


def test_a_run_fails_if_its_last_checkpoint_does_not_fit(tmp_path):
    with small_disk(tmp_path / "disk", 64) as disk, pytest.raises(CheckpointFailed, match="step-00000006"):
        run(disk, FakeHost())


def point(version: int, mean: float) -> MeanPoint:
    return MeanPoint(version=version, step=version, oldest_version=version, mean=mean, rows=())


def test_best_weights_that_do_not_fit_leave_the_previous_ones(tmp_path):
    config, tokenizer = make_config(), make_tokenizer()
    with small_disk(tmp_path / "disk", 1024) as disk:
        best = BestWeights(disk, config, tokenizer)
        weights = {"a": np.zeros(1000, np.float32)}
        path = best.keep(weights, Counters(step=1, weights_version=1), point(1, 0.5))
        fill(disk, leave=8)
        large = {"a": np.zeros(100_000, np.float32)}
        with pytest.raises(OSError, match=r"best-v000002\.safetensors: cannot be written: no space left") as error:
            best.keep(large, Counters(step=2, weights_version=2), point(2, 0.6))
        assert "--out" not in str(error.value)
        assert sorted(file.name for file in disk.iterdir()) == ["ballast", "best-v000001.safetensors", "best.json"]
        assert read_best(disk).checkpoint == path.name


def test_an_export_that_does_not_fit_names_its_file(tmp_path):
    run(tmp_path / "run", FakeHost())
    with small_disk(tmp_path / "disk", 8) as disk:
        with pytest.raises(InputError, match=r"^--out: .*/disk/out\.safetensors: cannot be written: no space left"):
            export_weights(CheckpointFolder(tmp_path / "run", 1).newest(), disk / "out.safetensors")
        assert list(disk.iterdir()) == []
