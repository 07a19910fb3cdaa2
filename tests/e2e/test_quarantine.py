"""Environments that crash, raise errors or hang in a real run: their tasks are quarantined, and the others go on."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from gato_dist.records.quarantine import read_quarantine
from gato_dist.scores.references import Reference, Score
from gato_dist.scores.table import ScoreTable
from gato_dist.utils.file_names import task_file_name
from tests.e2e.test_train import finish, start

ENVIRONMENTS = """
import os
import time
import gymnasium
import numpy as np

class Walk(gymnasium.Env):
    observation_space = gymnasium.spaces.Discrete(10)
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = 0
        return self.at, {}

    def step(self, action):
        self.steps += 1
        self.misbehave()
        self.at += int(action)
        return self.at, float(action), self.at == 9, self.steps % 30 == 0, {}

    def misbehave(self):
        pass

class Raises(Walk):
    def misbehave(self):
        if self.steps == 7:
            raise RuntimeError("the arm fell off")

class Dies(Walk):
    def misbehave(self):
        if self.steps == 7:
            os._exit(1)

class Aborts(Walk):
    def misbehave(self):
        os.abort()

class Hangs(Walk):
    def misbehave(self):
        if self.steps == 300:
            time.sleep(1e6)

calls = 0

def go(observations):
    return np.ones(len(next(iter(observations.values()))), int)

def lost(observations):
    global calls
    calls += 1
    if calls == 400:
        raise ValueError("which way?")
    return go(observations)
"""
CONFIG = """
name: misbehaving
tasks: [{tasks}]
model: {{width: 16, layers: 1, heads: 2, key_size: 8, feed_forward: 32, patch_channels: 8}}
tokens: {{length: 16}}
learner: {{steps: 150, batch: 6, warmup_steps: 5, publish_seconds: 1, checkpoint_seconds: 5}}
replay: {{size: 100, max_sequences_ahead: 100, min_size: 4}}
actors: {{max_failures: 2}}
evaluation: {{episodes: 2, final_episodes: 2, every_seconds: 1, final_actors: 1}}
"""


def write_run(folder: Path, **policies: str) -> Path:
    """Writes a configuration whose tasks are these classes of environments. policies: each one's expert."""
    (folder / "mine.py").write_text(ENVIRONMENTS)
    references = folder / "gato_tasks" / "references"
    references.mkdir(parents=True)
    lines = []
    for name, policy in policies.items():
        low, high = (
            Score(
                mean=mean, std=1.0, episodes=10, seed=0, policy=kind, policy_hash=kind, success=None, date="2026-11-21"
            )
            for mean, kind in ((0.0, "r"), (9.0, "e"))
        )
        text = json.dumps(asdict(Reference(low, high, {})))
        (references / f"{task_file_name(f'gymnasium/mine:{name}')}.json").write_text(text)
        options = f'{{policy: "mine:{policy}"}}'
        lines.append(f'{{name: "gymnasium/mine:{name}", num_envs: 2, expert: callable, expert_options: {options}}}')
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(tasks=", ".join(lines)))
    return path


def test_tasks_that_raise_errors_or_die_are_quarantined_and_the_others_are_learned(tmp_path):
    config = write_run(tmp_path, Walk="go", Raises="go", Dies="go")
    process = start(config, "--run", "run", cwd=tmp_path)
    output = finish(process)
    assert process.returncode == 0, output
    assert "Traceback" not in output
    run = tmp_path / "run"
    rows = ScoreTable.read(run / "scores.csv")
    assert {row.task for row in rows} == {"gymnasium/mine:Walk"}
    assert rows[-1].step == 150
    raised, died = (f"gymnasium/mine:{name}" for name in ("Raises", "Dies"))
    out = {(each.task, each.part): each for each in read_quarantine(run / "quarantine.json")}
    # Experts may not fail twice before the last step, if their processes start slowly.
    assert {task for task, part in out if part == "evaluation"} == {raised, died}
    assert out[raised, "evaluation"].reason == "failed: RuntimeError: the arm fell off"
    assert out[died, "evaluation"].reason == "died"
    assert {each.tries for each in out.values()} == {2}
    last = output.strip().splitlines()[-1]
    assert last.startswith("quarantined: ")
    assert raised in last
    assert died in last
    log = (run / "log.txt").read_text()
    assert f"expert of {raised} failed: RuntimeError: the arm fell off; starting it again (try 2 of 2)" in log
    assert f"expert of {died} died; starting it again (try 2 of 2)" in log
    assert "the arm fell off" in (run / "report.html").read_text()


@pytest.mark.slow
def test_a_hanging_task_is_quarantined_and_a_task_whose_expert_fails_is_still_scored(tmp_path):
    config = write_run(tmp_path, Walk="go", Hangs="go", Fine="lost")
    (tmp_path / "mine.py").write_text(ENVIRONMENTS + "\nFine = Walk\n")
    overrides = ["actors.hang_seconds=15", "learner.steps=100000", "learner.minutes=2"]
    process = start(config, "--run", "run", *overrides, cwd=tmp_path)
    output = finish(process)
    assert process.returncode == 0, output
    run = tmp_path / "run"
    out = {(each.task, each.part): each for each in read_quarantine(run / "quarantine.json")}
    hangs, fine = (f"gymnasium/mine:{name}" for name in ("Hangs", "Fine"))
    assert out[hangs, "experts"].reason.startswith("hangs: it made no step for 1")
    assert out[fine, "experts"].reason == "failed: ValueError: which way?"
    last = max(row.weights_version for row in ScoreTable.read(run / "scores.csv"))
    scored = {row.task for row in ScoreTable.read(run / "scores.csv") if row.weights_version == last}
    assert {"gymnasium/mine:Walk", fine} <= scored
    # An expert that waits for room in replay for longer than hang_seconds is healthy.
    assert not any(task == "gymnasium/mine:Walk" for task, _ in out)


@pytest.mark.slow
def test_a_run_fails_in_one_line_if_all_tasks_are_quarantined_and_resumes_after_they_are_fixed(tmp_path):
    config = write_run(tmp_path, Aborts="go", Raises="go")
    process = start(config, "--run", "run", cwd=tmp_path)
    output = finish(process)
    assert process.returncode == 1, output
    last = output.strip().splitlines()[-1]
    assert last.startswith("gato-dist: every task is quarantined, nothing is left to learn from: ")
    assert "gymnasium/mine:Aborts (experts: died; 2 tries)" in last
    assert "Traceback" not in output
    (tmp_path / "mine.py").write_text(ENVIRONMENTS + "\nAborts = Raises = Walk\n")
    process = start(config, "--run", "run", "--resume", cwd=tmp_path)
    output = finish(process)
    assert process.returncode == 0, output
    assert not (tmp_path / "run" / "quarantine.json").exists()
