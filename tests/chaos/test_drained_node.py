"""The learner's node gets SIGTERM, as when Kubernetes evicts a pod: another node continues from a checkpoint."""

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from tests.chaos.checks import check_checkpoints, check_scores
from tests.chaos.running import KINDS, PATIENCE, ROOT, Running, command_of, family
from tests.support.local_cluster import STORE, environment

pytestmark = pytest.mark.slow
# Two more nodes have room for one worker of the learner each. Everything else runs on the first node.
OVERRIDES = ["learner.resources={spare: 1}", "learner.checkpoint_seconds=3600"]


@contextmanager
def head(folder: Path) -> Iterator[str]:
    """Starts a cluster of one node. Yields its host:port."""
    command = [sys.executable, "-m", "tests.support.local_cluster", "--nodes", "1", "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield next(line for line in process.stdout if line.startswith("ray.address=")).strip().partition("=")[2]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def join(address: str, output: Path) -> subprocess.Popen:
    """Starts a node with `ray start --block`, as containers and machines of a cluster do."""
    command = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--address={address}", "--num-cpus=8"]
    command += ['--resources={"spare": 1}', f"--object-store-memory={STORE}", "--disable-usage-stats"]
    with output.open("w", encoding="utf-8") as file:
        node = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
    # Wait for it: if two nodes start on one machine at the same moment, one of them fails.
    until = time.monotonic() + PATIENCE
    while "Ray runtime started" not in output.read_text(encoding="utf-8"):
        assert node.poll() is None, output.read_text(encoding="utf-8")
        assert time.monotonic() < until, output.read_text(encoding="utf-8")
        time.sleep(0.2)
    return node


def holds_learner(node: subprocess.Popen[bytes]) -> bool:
    """Returns whether a worker of the learner runs on a node."""
    return any(KINDS["learner worker"] in command_of(each) for each in family(psutil.Process(node.pid)))


def test_a_learner_whose_node_gets_sigterm_writes_a_checkpoint_and_continues_on_another(tmp_path, monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="gato-"))  # a short path: sockets are created there
    for key, value in environment(folder / "auth_token").items():
        monkeypatch.setenv(key, value)
    with head(folder) as address:
        nodes = [join(address, tmp_path / f"node{index}.txt") for index in range(2)]
        running = Running(tmp_path, SimpleNamespace(overrides=[f"ray.address={address}", *OVERRIDES]))  # type: ignore[arg-type]
        try:
            running.start()
            running.wait_for_training()
            (leaving,) = [node for node in nodes if holds_learner(node)]
            (other,) = [node for node in nodes if node is not leaving]
            assert not any((running.run / "checkpoints").glob("step-*"))
            before = len(running.log())
            leaving.send_signal(signal.SIGTERM)
            running.wait_for("the learner's machine will be taken away", 1, before, "handing over")
            handed = len(running.log())
            (left,) = re.findall(r"continues from the checkpoint of step (\d+)", "\n".join(running.log()[before:]))
            assert (running.run / "checkpoints" / f"step-{int(left):08d}" / "manifest.json").exists()
            running.wait_for_training(handed)
            leaving.wait(timeout=PATIENCE)
            running.until(lambda: any(step > int(left) for step in steps(running.log()[handed:])), "going on")
            assert holds_learner(other)
            assert running.end() == 130, running.output()
        finally:
            for process in (running.process, *nodes):
                if process is not None and process.poll() is None:
                    process.send_signal(signal.SIGKILL if process is running.process else signal.SIGINT)
            for node in nodes:
                node.wait(timeout=PATIENCE)
    check_scores(running.run)
    check_checkpoints(running.run)


def steps(log: list[str]) -> list[int]:
    """Returns the learner's steps that log lines report."""
    return [int(number) for number in re.findall(r" step (\d+) ", "\n".join(log))]
