"""Locks: a second writer is refused and told who holds the lock, and a dead process holds none."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gato_dist.errors import InputError
from gato_dist.evaluation.checkpoint import EvaluationRequest, evaluate_checkpoint
from gato_dist.scores.references import hold_reference
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.locks import hold_file, hold_folder, is_unused
from replay.dataset.writing import atomic_folder
from tests.support.paths import ROOT

COMMAND = str(Path(sys.executable).parent / "gato-dist")
HOLDER = """
import subprocess, sys, time
from pathlib import Path
from gato_dist.utils.locks import hold_file, hold_folder
child = []
with {hold}(Path({path!r})):
    child.append(subprocess.Popen(["sleep", "60"]))
    print(child[0].pid, flush=True)
    time.sleep(60)
"""


class Holder:
    """Another process that holds a lock, and a program that it started."""

    def __init__(self, hold: str, path: Path) -> None:
        words = [sys.executable, "-c", HOLDER.format(hold=hold, path=str(path))]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert self.process.stdout is not None
        self.child = int(self.process.stdout.readline())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def holder():
    held = []

    def make(hold: str, path: Path) -> Holder:
        held.append(Holder(hold, path))
        return held[-1]

    yield make
    for each in held:
        each.kill()
        os.kill(each.child, signal.SIGKILL)


def train(tmp_path: Path, *words: str) -> subprocess.CompletedProcess:
    (tmp_path / "t.yaml").write_text("name: t\ntasks: [{name: metaworld/reach-v3}]\n")
    return subprocess.run([COMMAND, "train", "t.yaml", *words], capture_output=True, text=True, cwd=tmp_path)


@pytest.mark.parametrize("words", [[], ["--resume"], ["--data", "D"], ["learner.workers=2", "--data", "D"]])
def test_a_locked_run_folder_is_refused_and_stays_unchanged(tmp_path, holder, words):
    run = tmp_path / "run"
    other = holder("hold_folder", run)
    (run / "config.yaml").write_text("name: t\ntasks: [{name: metaworld/reach-v3}]\n")
    before = {path: path.read_bytes() for path in run.iterdir()}
    refused = train(tmp_path, "--run", "run", *words)
    assert (refused.returncode, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert all(word in line for word in ("run: ", f"process {other.process.pid} ", socket.gethostname())), line
    assert {path: path.read_bytes() for path in run.iterdir()} == before


def test_a_killed_process_holds_no_lock_even_if_its_child_lives(tmp_path, holder):
    holder("hold_folder", tmp_path / "run").kill()
    assert (tmp_path / "run" / ".lock").exists()
    assert is_unused(tmp_path / "run")
    with hold_folder(tmp_path / "run"):
        assert not is_unused(tmp_path / "other") or not (tmp_path / "other").exists()
    assert not (tmp_path / "run" / ".lock").exists()


def test_a_folder_that_stays_empty_is_removed_with_its_lock(tmp_path):
    with hold_folder(tmp_path / "runs" / "a"):
        assert (tmp_path / "runs" / "a" / ".lock").exists()
    assert not (tmp_path / "runs").exists()
    with hold_folder(tmp_path / "runs" / "a"):
        (tmp_path / "runs" / "a" / "kept").touch()
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["kept"]


def test_exactly_one_of_many_processes_gets_the_lock(tmp_path):
    code = HOLDER.format(hold="hold_folder", path=str(tmp_path / "run")).replace("sleep(60)", "sleep(3)")
    words = [sys.executable, "-c", code.replace('["sleep", "60"]', '["true"]')]
    kinds = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": ROOT}
    several = [subprocess.Popen(words, text=True, **kinds) for _ in range(4)]
    ended = [(each.communicate()[1], each.returncode) for each in several]
    assert sorted(code for _, code in ended) == [0, 1, 1, 1]
    winner = next(each for each in several if each.returncode == 0)
    assert all(f"process {winner.pid} on" in said for said, code in ended if code)


def test_a_process_can_wait_for_a_locked_file(tmp_path, holder):
    page = tmp_path / "report.html"
    other = holder("hold_file", page)
    with pytest.raises(InputError, match=rf"report.html: process {other.process.pid} on"), hold_file(page):
        pass
    other.kill()
    with hold_file(page, patience=5.0):
        assert not page.exists()


def test_the_report_of_a_live_run_is_written_by_one_process_at_a_time(tmp_path, holder):
    run = tmp_path / "run"
    holder("hold_folder", run)
    (run / "config.yaml").write_text("name: t\n")
    columns = "step,weights_version,task,suite,episodes,random,expert,mean,std,fraction,ci_low,ci_high"
    (run / "scores.csv").write_text(columns + "\n")
    written = subprocess.run([COMMAND, "report", str(run)], capture_output=True, text=True)
    assert (written.returncode, (run / "report.html").exists()) == (0, True), written.stderr
    other = holder("hold_file", run / "report.html")
    refused = subprocess.run([COMMAND, "report", str(run)], capture_output=True, text=True)
    assert refused.returncode == 2
    assert f"process {other.process.pid} on" in refused.stderr


def test_evaluation_files_datasets_and_references_are_locked_too(tmp_path, holder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gato_tasks" / "references").mkdir(parents=True)
    reference = Path("gato_tasks/references", f"{task_file_name('gymnasium/mine:make')}.json")
    targets = {name: holder("hold_file", tmp_path / name) for name in ("scores.csv", "set", str(reference))}

    def refused(name: str) -> object:
        return pytest.raises(InputError, match=rf"process {targets[name].process.pid} on")

    with refused("scores.csv"):
        evaluate_checkpoint(EvaluationRequest(checkpoint=tmp_path / "none", table=tmp_path / "scores.csv"))
    with refused("set"), atomic_folder(tmp_path / "set"):
        pass
    with refused(str(reference)), hold_reference("gymnasium/mine:make"):
        pass
    assert not (tmp_path / "scores.csv").exists()
    assert not (tmp_path / "set").exists()


def test_the_error_names_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file"), hold_folder(tmp_path / "file"):
        pass
    with pytest.raises(InputError, match=r"page.html: cannot be written to"), hold_file(tmp_path / "no" / "page.html"):
        pass


def test_a_free_lock_is_taken_without_waiting(tmp_path):
    began = time.monotonic()
    with hold_file(tmp_path / "a", patience=30.0), hold_file(tmp_path / "b"):
        pass
    assert time.monotonic() - began < 1
