"""A run that asks for a GPU on a machine without one is refused at once, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from learner.parallel import check_gpus, worker_device

CONFIG = "name: x\ntasks: [{name: babyai/go-to-red-ball-grey, num_envs: 2}]\n"


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "x.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "gato_dist", "train", "x.yaml", "--run", "run", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("arguments", [(), ("--data", "none"), ("--data", "none", "learner.workers=2")], ids=str)
def test_a_missing_gpu_is_refused_at_once(tmp_path, arguments):
    done = train(tmp_path, "learner.gpu=true", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("gato-dist: learner.gpu: torch")
    assert not (tmp_path / "run").exists()


def test_more_workers_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_gpus(LearnerConfig(gpu=True, workers=1))
    with pytest.raises(InputError, match=r"learner\.workers: 2, each with a GPU .*, but torch can use 1"):
        check_gpus(LearnerConfig(gpu=True, workers=2))


def test_a_worker_without_a_usable_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"learner\.gpu: torch .* can use no GPU here"):
        worker_device(gpu=True)
