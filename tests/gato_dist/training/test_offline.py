"""Training from disk: without environments, resumed exactly, and with the same result for any number of workers."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from gato_dist.errors import InputError
from replay.dataset.dataset import Dataset
from tests.support.paths import ROOT

COMMAND = Path(sys.executable).parent / "gato-dist"
TASK = "babyai/go-to-local"
CONFIG = f"""
name: disk
tasks: [{{name: {TASK}, window_steps: 4}}]
model: {{width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8, dropout: 0.1}}
learner: {{steps: 30, batch: 8, warmup_steps: 5, checkpoint_seconds: 60}}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "set"
    arguments = [COMMAND, "collect", "--tasks", TASK, "--episodes", "40", "--out", str(root)]
    assert subprocess.run(arguments, capture_output=True, timeout=400).returncode == 0
    return root


def test_training_from_disk_needs_no_environment_and_its_checkpoint_can_be_scored(data, tmp_path):
    for name in ("ray", "reverb", "envpool", "gymnasium", "tensorflow", "mujoco", "minigrid"):
        (tmp_path / "shadow" / name).mkdir(parents=True)
        (tmp_path / "shadow" / name / "__init__.py").write_text(f"raise ImportError('no {name} here')\n")
    (tmp_path / "disk.yaml").write_text(CONFIG)
    arguments = [COMMAND, "train", "disk.yaml", "--data", str(data)]
    shadowed = {"PYTHONPATH": f"{tmp_path / 'shadow'}:{ROOT}", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, env=shadowed, timeout=400)
    assert done.returncode == 0, done.stderr
    assert "step-00000030" in done.stdout
    more = [*arguments, "--resume", "learner.steps=40"]
    again = subprocess.run(more, capture_output=True, text=True, cwd=tmp_path, env=shadowed, timeout=400)
    assert (again.returncode, "step-00000040" in again.stdout) == (0, True), again.stderr
    score = [COMMAND, "evaluate", "runs/disk/checkpoints/step-00000040", "--episodes", "2"]
    scored = subprocess.run(score, capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert scored.returncode == 0, scored.stderr


def test_a_task_that_the_dataset_lacks_is_refused_before_anything_is_written(data, tmp_path):
    (tmp_path / "disk.yaml").write_text(CONFIG.replace(TASK, "babyai/go-to-red-ball"))
    arguments = [COMMAND, "train", "disk.yaml", "--data", str(data)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 2
    assert "holds no babyai/go-to-red-ball; it has babyai/go-to-local" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_dataset_of_another_format_is_refused(data, tmp_path):
    (tmp_path / "dataset.json").write_text((data / "dataset.json").read_text().replace("dataset 1", "dataset 9"))
    with pytest.raises(InputError, match="dataset 9"):
        Dataset.open(tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("tokens.length=2", "tokens.length: 2 is too short: a window of babyai/go-to-local takes"),
        ("tasks.0.window_steps=40", "tokens.length: 128 is too short: a window of babyai/go-to-local takes"),
        ("model.local_positions=2", "model.local_positions: 2, but babyai/go-to-local needs"),
        ("evaluation.prompt_tokens=2", "evaluation.prompt_tokens: 2 hold no step of babyai/go-to-local"),
        # How many tokens the mission takes is only known once it is read.
        ("model.local_positions=10", "model.local_positions: 10, but the texts of a time step need"),
    ],
)
def test_settings_that_do_not_fit_a_task_are_refused(data, tmp_path, override, message):
    done = run(tmp_path, data, "refused", override)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert message in done.stderr


def run(tmp_path: Path, data: Path, name: str, *more: str) -> subprocess.CompletedProcess:
    (tmp_path / "disk.yaml").write_text(CONFIG)
    arguments = [COMMAND, "train", "disk.yaml", "--data", str(data), "--run", name, *more]
    return subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, timeout=180)


def weights(tmp_path: Path, name: str, step: int) -> dict[str, torch.Tensor]:
    return load_file(tmp_path / name / f"checkpoints/step-{step:08d}/model.safetensors")


def test_two_workers_train_the_same_weights_as_one_and_the_run_resumes(data, tmp_path):
    # Dropout draws differ between workers, so it is off here.
    for name, workers in (("one", 1), ("two", 2)):
        done = run(tmp_path, data, name, f"learner.workers={workers}", "model.dropout=0", "data.loaders=0")
        assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path, "one", 30), weights(tmp_path, "two", 30)
    assert all(torch.allclose(one[key], two[key], atol=1e-5) for key in one)
    more = run(tmp_path, data, "two", "--resume", "learner.steps=33", "model.dropout=0", "data.loaders=1")
    assert (more.returncode, "step-00000033" in more.stdout) == (0, True), more.stderr
    assert "the data are not those" not in more.stdout


@pytest.mark.slow
def test_torchrun_trains_the_same_weights_as_one_worker(data, tmp_path):
    same = ["model.dropout=0", "data.loaders=0"]
    assert run(tmp_path, data, "one", *same).returncode == 0
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    arguments = [*start, "gato_dist", "train", "disk.yaml", "--data", str(data), "--run", "two", *same]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, timeout=400)
    assert done.returncode == 0, done.stderr
    one, two = weights(tmp_path, "one", 30), weights(tmp_path, "two", 30)
    assert all(torch.allclose(one[key], two[key], atol=1e-5) for key in one)


def test_an_interrupted_run_resumes_to_the_same_weights_bit_by_bit(data, tmp_path):
    assert run(tmp_path, data, "whole", "learner.steps=300", "data.loaders=0").returncode == 0
    arguments = [
        COMMAND,
        "train",
        "disk.yaml",
        "--data",
        str(data),
        "--run",
        "cut",
        "learner.steps=300",
        "data.loaders=1",
    ]
    with subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as started:
        until = time.monotonic() + 300
        while not (tmp_path / "cut/log.txt").exists() or "step" not in (tmp_path / "cut/log.txt").read_text():
            assert time.monotonic() < until
            time.sleep(0.05)
        started.send_signal(signal.SIGINT)
        _, error = started.communicate(timeout=300)
    assert started.returncode == 130, error
    (stopped,) = (tmp_path / "cut/checkpoints").iterdir()
    assert 0 < int(stopped.name.removeprefix("step-")) < 300
    assert run(tmp_path, data, "cut", "--resume", "learner.steps=300", "data.loaders=0").returncode == 0
    whole, cut = weights(tmp_path, "whole", 300), weights(tmp_path, "cut", 300)
    assert all(torch.equal(whole[key], cut[key]) for key in whole)


def test_a_damaged_checkpoint_is_skipped_and_another_run_begins_from_a_whole_one(data, tmp_path):
    """The log names the damaged checkpoint. The new run counts from 0, and its configuration names its origin."""
    assert run(tmp_path, data, "first", "learner.steps=20").returncode == 0
    assert run(tmp_path, data, "first", "--resume", "learner.steps=22").returncode == 0
    first = tmp_path / "first/checkpoints"
    content = (first / "step-00000022/model.safetensors").read_bytes()
    (first / "step-00000022/model.safetensors").write_bytes(content[:-9])
    more = run(tmp_path, data, "first", "--resume", "learner.steps=24")
    assert more.returncode == 0, more.stderr
    line = next(line for line in (tmp_path / "first/log.txt").read_text().splitlines() if "refused" in line)
    assert "checkpoint step-00000022 refused" in line
    assert f"not {len(content)}" in line
    assert {path.name for path in first.iterdir()} == {"step-00000020", "step-00000024"}
    tuned = run(tmp_path, data, "tuned", "--init", "first/checkpoints/step-00000024", "learner.steps=3")
    assert tuned.returncode == 0, tuned.stderr
    assert "step-00000003" in tuned.stdout
    assert f"init: {first / 'step-00000024'}" in (tmp_path / "tuned/config.yaml").read_text()
    again = run(tmp_path, data, "tuned", "--resume", "learner.steps=4")
    assert again.returncode == 2
    assert "learner.init" in again.stderr
    damaged = run(tmp_path, data, "other", "--init", "first/checkpoints/step-00000024", "model.heads=4")
    assert (damaged.returncode, "model.heads" in damaged.stderr) == (2, True)
    assert not (tmp_path / "other").exists()
