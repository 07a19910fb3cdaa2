"""A GPU that a run asks for and this machine lacks is told at once, and nothing is written."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from learner.parallel import check_gpus, worker_device

CONFIG = "name: x\ntasks: [{name: babyai/go-to-red-ball-grey, num_envs: 2}]\n"


def train(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    (folder / "x.yaml").write_text(CONFIG)
    command = [sys.executable, "-m", "gato_dist", "train", "x.yaml", "--run", "run", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
@pytest.mark.parametrize("words", [(), ("--data", "none"), ("--data", "none", "learner.workers=2")], ids=str)
def test_a_gpu_that_is_not_there_is_told_at_once(tmp_path, words):
    done = train(tmp_path, "learner.gpu=true", *words)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert done.stderr.startswith("gato-dist: learner.gpu: torch")
    assert not (tmp_path / "run").exists()


def test_more_workers_than_gpus_are_told(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    check_gpus(LearnerConfig(gpu=True, workers=1))
    with pytest.raises(InputError, match=r"learner\.workers: 2, each with a GPU .*, but torch can use 1"):
        check_gpus(LearnerConfig(gpu=True, workers=2))


def test_a_worker_on_a_node_whose_gpu_torch_cannot_use_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match=r"learner\.gpu: torch .* can use no GPU here"):
        worker_device(gpu=True)
