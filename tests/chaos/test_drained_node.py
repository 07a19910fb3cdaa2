"""The node of the learner gets SIGTERM, as a pod that Kubernetes takes away: its checkpoint, and who goes on."""

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
# Of two nodes, each with room for one learner's worker; all else is on the first node.
WORDS = ["learner.resources={spare: 1}", "learner.checkpoint_seconds=3600"]


@contextmanager
def head(folder: Path) -> Iterator[str]:
    """host:port of a cluster of one node."""
    words = [sys.executable, "-m", "tests.support.local_cluster", "--nodes", "1", "--folder", str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    try:
        yield next(line for line in process.stdout if line.startswith("ray.address=")).strip().partition("=")[2]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def join(address: str, output: Path) -> subprocess.Popen:
    """A node as `ray start --block` makes it, which is what containers and machines of a cluster run."""
    words = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--address={address}", "--num-cpus=8"]
    words += ['--resources={"spare": 1}', f"--object-store-memory={STORE}", "--disable-usage-stats"]
    with output.open("w", encoding="utf-8") as file:
        node = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT)
    # Of two that start at the same moment on one machine, Ray lets one fail.
    until = time.monotonic() + PATIENCE
    while "Ray runtime started" not in output.read_text(encoding="utf-8"):
        assert node.poll() is None, output.read_text(encoding="utf-8")
        assert time.monotonic() < until, output.read_text(encoding="utf-8")
        time.sleep(0.2)
    return node


def holds_learner(node: subprocess.Popen) -> bool:
    return any(KINDS["learner worker"] in command_of(each) for each in family(psutil.Process(node.pid)))


def test_the_learner_leaves_a_node_that_gets_sigterm_with_a_checkpoint_and_goes_on_elsewhere(tmp_path, monkeypatch):
    folder = Path(tempfile.mkdtemp(prefix="gato-"))  # short: sockets lie there
    for key, value in environment(folder / "auth_token").items():
        monkeypatch.setenv(key, value)
    with head(folder) as address:
        nodes = [join(address, tmp_path / f"node{index}.txt") for index in range(2)]
        running = Running(tmp_path, SimpleNamespace(words=[f"ray.address={address}", *WORDS]))  # type: ignore[arg-type]
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
    return [int(number) for number in re.findall(r" step (\d+) ", "\n".join(log))]
