"""What works without Reverb: experts are collected, and a model is trained on their episodes and scored.

This runs on Pythons that Reverb has no wheels for (.ci/offline).
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("reverb") is not None, reason="for Pythons without Reverb: .ci/offline"
)
CONFIG = """
name: offline
tasks: [{name: metaworld/reach-v3}, {name: babyai/go-to-red-ball-grey}]
tokens: {length: 64}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8}
learner: {steps: 20, batch: 4, warmup_steps: 5}
"""


def gato_dist(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gato_dist", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


def test_experts_are_collected_a_model_is_trained_on_their_episodes_and_scored(tmp_path):
    (tmp_path / "offline.yaml").write_text(CONFIG)
    for arguments in (
        ("collect", "offline.yaml", "--episodes", "4", "--out", "data"),
        ("dataset", "validate", "data"),
        ("train", "offline.yaml", "--data", "data", "--run", "run"),
        ("evaluate", "run/checkpoints/step-00000020", "--tasks", "*", "--episodes", "2", "--out", "scores.csv"),
    ):
        done = gato_dist(tmp_path, *arguments)
        assert done.returncode == 0, (arguments, done.stdout[-3000:], done.stderr[-3000:])
    header, *rows = (tmp_path / "scores.csv").read_text().splitlines()
    assert {row.split(",")[header.split(",").index("task")] for row in rows} == {
        "metaworld/reach-v3", "babyai/go-to-red-ball-grey",
    }  # fmt: skip


def test_a_live_run_is_refused_in_one_line_that_names_the_python_it_needs(tmp_path):
    (tmp_path / "offline.yaml").write_text(CONFIG)
    done = gato_dist(tmp_path, "train", "offline.yaml", "--run", "run")
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert "live replay needs Python 3.11" in line
    assert not (tmp_path / "run").exists()
