"""A checkpoint of a user's own task is scored on a machine that has the task's code and nothing else of the run."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gato_dist.utils.file_names import task_file_name

pytest.importorskip("gymnasium")
COMMAND = str(Path(sys.executable).parent / "gato-dist")
TASK = "gymnasium/mine:make"
MODULE = """
import gymnasium as gym
import numpy as np


class Mine(gym.Env):
    observation_space = gym.spaces.Box(-1, 1, (SIZE,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.observation_space.sample() * 0, {}

    def step(self, action):
        self.steps += 1
        return np.zeros(SIZE, np.float32), float(action), self.steps == 5, False, {}


def make():
    return Mine()
"""
CONFIG = f"""
name: own
tasks: [{{name: "{TASK}"}}]
model: {{width: 16, layers: 1, heads: 1, key_size: 16, feed_forward: 32, patch_channels: 8}}
learner: {{steps: 2, batch: 8, warmup_steps: 1}}
data: {{loaders: 0}}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([COMMAND, *arguments], capture_output=True, text=True, cwd=folder, timeout=200)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("home")
    (home / "mine.py").write_text(MODULE.replace("SIZE", "3"))
    (home / "own.yaml").write_text(CONFIG)
    for arguments in (
        ["experts", "score", TASK, "--expert", "random", "--episodes", "4"],
        ["collect", "--tasks", TASK, "--policy", "random", "--episodes", "8", "--out", "data"],
        ["train", "own.yaml", "--data", "data", "--run", "run"],
        ["checkpoint", "export", "run/checkpoints/step-00000002", "--out", "own.safetensors"],
    ):
        done = run(home, *arguments)
        assert done.returncode == 0, done.stderr
    return home


@pytest.mark.parametrize("given", ["run/checkpoints/step-00000002", "own.safetensors"])
def test_the_checkpoint_is_scored_with_its_own_reference_scores(home, tmp_path, given):
    shutil.copy(home / "mine.py", tmp_path)
    (shutil.copytree if (home / given).is_dir() else shutil.copy)(home / given, tmp_path / "given")
    scored = run(tmp_path, "evaluate", "given", "--episodes", "2", "--out", "scores.csv")
    assert scored.returncode == 0, scored.stderr
    reference = (home / "gato_tasks/references" / f"{task_file_name(TASK)}.json").read_text()
    random = (tmp_path / "scores.csv").read_text().splitlines()[1].split(",")[5]
    assert f'"mean": {random}' in reference
    assert not (tmp_path / "gato_tasks").exists()


def test_a_missing_module_is_named_in_one_line(home, tmp_path):
    refused = run(tmp_path, "evaluate", str(home / "own.safetensors"), "--episodes", "2")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert "module mine is not here: put it in the working directory or on PYTHONPATH" in refused.stderr


def test_an_environment_with_another_layout_is_named(home, tmp_path):
    (tmp_path / "mine.py").write_text(MODULE.replace("SIZE", "4"))
    refused = run(tmp_path, "evaluate", str(home / "own.safetensors"), "--episodes", "2")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert f"{TASK}: its environment has other observations or actions here" in refused.stderr
