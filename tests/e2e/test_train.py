"""`gato-dist train` as a user runs it: its run folder, its exit codes, and the processes that it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from gato_dist.scores.table import ScoreTable, mean_curve
from gato_dist.utils.manifest import verify
from learner.checkpoint import load_for_acting

COMMAND = Path(sys.executable).parent / "gato-dist"


def start(config: Path, *arguments: str, cwd: Path | None = None) -> subprocess.Popen:
    command = [str(COMMAND), "train", str(config), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd)


def finish(process: subprocess.Popen, seconds: float = 600) -> str:
    output, _ = process.communicate(timeout=seconds)
    return output


def wait_for_checkpoint(run: Path, process: subprocess.Popen) -> str:
    """Returns the name of the first complete checkpoint."""
    for _ in range(3000):
        complete = [path.name for path in (run / "checkpoints").glob("step-*") if path.suffix != ".partial"]
        if complete:
            return sorted(complete)[0]
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.2)
    raise AssertionError("no checkpoint in ten minutes")


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def actors_of(process: subprocess.Popen, kind: str) -> list[psutil.Process]:
    """Returns the processes of one class of Ray actors. kind: the class's name."""
    return [child for child in descendants(process) if f"ray::{kind}" in _command(child)]


def _command(process: psutil.Process) -> str:
    """Returns the command line; an empty text for a process that has just ended."""
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def alive(processes: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    _, left = psutil.wait_procs(processes, timeout=seconds)
    return [process for process in left if process.status() != psutil.STATUS_ZOMBIE]


def test_a_run_trains_and_evaluates_and_leaves_a_complete_run_folder(small, tmp_path):
    run = tmp_path / "run"
    process = start(small, "--run", str(run))
    output = finish(process)
    assert process.returncode == 0, output
    assert {
        "config.yaml", "checkpoints", "replay", "tensorboard", "scores.csv", "episodes.jsonl", "cost.json",
        "report.html", "log.txt",
    } <= {path.name for path in run.iterdir()}  # fmt: skip
    rows = ScoreTable.read(run / "scores.csv")
    best = json.loads((run / "checkpoints/best.json").read_text())
    assert load_for_acting(run / "checkpoints" / best["checkpoint"])[3].weights_version == best["weights_version"]
    assert best["fraction"] == pytest.approx(max(point.mean for point in mean_curve(rows)), abs=1e-4)
    last = max(row.weights_version for row in rows)
    assert {row.task for row in rows if row.weights_version == last} == {
        "metaworld/reach-v3", "procgen/coinrun", "babyai/go-to-red-ball-grey"
    }  # fmt: skip
    assert all(row.step == 60 for row in rows if row.weights_version == last)
    assert "tensorboard --logdir" in output
    assert any((run / "tensorboard").iterdir())
    again = finish(start(small, "--run", str(run)))
    assert "--resume" in again
    assert "Traceback" not in again
    measured = [row for row in rows if row.weights_version == last and row.task.startswith("babyai/")][-1]
    scored = subprocess.run(
        [str(COMMAND), "evaluate", str(run / "checkpoints/step-00000060"), "--tasks", "babyai/*",
         "--episodes", str(measured.episodes), "--out", str(tmp_path / "again.csv")],
        capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert ScoreTable.read(tmp_path / "again.csv") == [measured]


def test_a_killed_run_resumes_from_its_checkpoint(small, tmp_path):
    run = tmp_path / "run"
    process = start(small, "--run", str(run), "learner.steps=100000")
    first = wait_for_checkpoint(run, process)
    # Ray's own agents notice only later that their node is gone. All other processes must end at once.
    family = [child for child in descendants(process) if not child.name().endswith("Agent")]
    process.kill()
    process.wait()
    assert not alive(family, 30)
    step = int(first.removeprefix("step-"))
    process = start(small, "--run", str(run), "--resume", f"learner.steps={step + 200}")
    output = finish(process)
    assert process.returncode == 0, output
    rows = ScoreTable.read(run / "scores.csv")
    assert rows[-1].step == step + 200
    versions = [row.weights_version for row in rows]
    assert versions == sorted(versions)


@pytest.mark.slow
def test_a_damaged_checkpoint_is_refused_by_name(small, tmp_path):
    run = tmp_path / "run"
    finish(start(small, "--run", str(run)))
    for weights in run.glob("checkpoints/step-*/model.safetensors"):
        weights.write_bytes(weights.read_bytes()[:1000])
    process = start(small, "--run", str(run), "--resume", "learner.steps=90")
    output = finish(process)
    assert process.returncode == 2, output
    assert output.strip().splitlines()[-1].startswith(f"gato-dist: {run}/checkpoints: no checkpoint to resume from")
    assert f"{weights}: damaged" in output
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_writes_a_checkpoint_and_leaves_no_process(small, tmp_path, number):
    run = tmp_path / "run"
    process = start(small, "--run", str(run), "learner.steps=100000", "learner.checkpoint_seconds=2")
    wait_for_checkpoint(run, process)
    family = descendants(process)
    os.kill(process.pid, number)
    output = finish(process, 120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert not alive(family, 10)


@pytest.mark.slow  # test_relabel.py kills a Gato actor, which is restarted in the same way
def test_a_killed_expert_is_restarted(small, tmp_path):
    run = tmp_path / "run"
    process = start(small, "--run", str(run), "learner.steps=150")
    wait_for_checkpoint(run, process)
    actors_of(process, "ExpertActor")[0].kill()
    output = finish(process)
    assert process.returncode == 0, output
    assert "died; starting it again" in (run / "log.txt").read_text()


def test_a_dataset_replaces_the_expert_of_its_task_beside_live_experts(small, tmp_path):
    collect = [str(COMMAND), "collect", "--tasks", "babyai/go-to-red-ball-grey", "--episodes", "20", "--out", "data"]
    assert subprocess.run(collect, cwd=tmp_path, capture_output=True, timeout=400).returncode == 0
    run = tmp_path / "run"
    arguments = ["--run", str(run), "data.path=data", "data.share=1", "learner.steps=30"]
    process = start(small, *arguments, cwd=tmp_path)
    wait_for_checkpoint(run, process)
    experts = actors_of(process, "ExpertActor")
    output = finish(process)
    assert process.returncode == 0, output
    assert len(experts) <= 2
    rows = ScoreTable.read(run / "scores.csv")
    assert {row.task for row in rows if row.step == 30} >= {"babyai/go-to-red-ball-grey", "metaworld/reach-v3"}
    (tmp_path / "other.yaml").write_text(small.read_text().replace("babyai/go-to-red-ball-grey", "babyai/go-to-obj"))
    refused = start(tmp_path / "other.yaml", "--run", str(tmp_path / "new"), f"data.path={tmp_path / 'data'}")
    assert "data.path" in finish(refused)
    assert refused.returncode == 2
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_two_workers_share_a_live_run_and_one_worker_resumes_it(small, tmp_path):
    """Both workers sample from replay, each version is published once, and any number of workers can resume."""
    run, lines = tmp_path / "run", small.read_text().splitlines()
    small.write_text("\n".join(line for line in lines if not any(suite in line for suite in ("metaworld", "procgen"))))
    output = finish(process := start(small, "--run", str(run), "learner.workers=2"))
    assert process.returncode == 0, output
    (checkpoint,) = (run / "checkpoints").glob("step-00000060")
    verify(checkpoint)
    both = json.loads((checkpoint / "counters.json").read_text())
    again = finish(process := start(small, "--run", str(run), "--resume", "learner.workers=1", "learner.steps=90"))
    assert process.returncode == 0, again
    alone = json.loads((run / "checkpoints/step-00000090/counters.json").read_text())
    # Tokens of a global batch: half of them would be one worker's share.
    assert both["tokens"] / 60 == pytest.approx((alone["tokens"] - both["tokens"]) / 30, rel=0.25)
    rows = ScoreTable.read(run / "scores.csv")
    versions = [row.weights_version for row in rows]
    assert (versions, rows[-1].step) == (sorted(versions), 90)
    assert "refused" not in (run / "log.txt").read_text()
