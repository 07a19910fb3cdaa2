"""Runs on local clusters, and the processor time that their processes take: what tests.benchmarks.scaling checks."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.chaos.running import KINDS, command_of, family
from tests.support.local_cluster import environment

PARTS = ("learner worker", "expert", "replay server", "evaluator", "coordinator", "driver")
LOOK_SECONDS = 5.0
WAITING = 0.05  # cores: a learner worker that takes less has imported everything, and waits for rows
PATIENCE = 600.0


@dataclass(frozen=True)
class Seen:
    """What a run did in a window of time: steps of the learner, tokens that experts wrote, seconds, and processor
    seconds by part; `else` is Ray's own.
    """

    steps: int
    tokens: float
    seconds: float
    cpu: dict[str, float]

    @property
    def cores(self) -> float:
        return sum(self.cpu.values()) / self.seconds


class LocalRun:
    """A configuration's run on a local cluster of so many nodes."""

    def __init__(self, cluster: subprocess.Popen, run: subprocess.Popen, folder: Path) -> None:
        self._cluster, self._run, self._folder = cluster, run, folder

    def log(self) -> str:
        path = self._folder / "log.txt"
        return path.read_text() if path.exists() else ""

    @property
    def steps(self) -> list[int]:
        """As the log said them."""
        return [int(number) for number in re.findall(r" step (\d+) ", self.log())]

    def scored(self) -> bool:
        path = self._folder / "scores.csv"
        return path.exists() and len(path.read_text().splitlines()) > 1

    def spent(self) -> dict[int, tuple[str, float]]:
        """Part and processor seconds of each process, by its number."""
        found = {}
        for root in map(psutil.Process, (self._cluster.pid, self._run.pid)):
            for each in [root, *family(root)]:
                try:
                    command, spent = command_of(each), sum(each.cpu_times()[:2])
                except psutil.NoSuchProcess:
                    continue
                found[each.pid] = next((part for part in PARTS if KINDS[part] in command), "else"), spent
        return found

    def settled(self) -> bool:
        """Whether the learner's workers have nothing left to do but to wait; looks at them for a moment."""
        before = self.spent()
        time.sleep(LOOK_SECONDS)
        workers = [number for number, (part, _) in before.items() if part == "learner worker"]
        after = self.spent()
        used = (after[number][1] - before[number][1] for number in workers if number in after)
        return bool(workers) and all(each < WAITING * LOOK_SECONDS for each in used)

    def wait(self, holds: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            assert self._run.poll() is None, self.log()
            assert time.monotonic() < until, self.log()
            time.sleep(0.05)

    def line(self) -> None:
        """Until the log says anew, which it does every ten seconds, where the run stands."""
        before = len(self.steps)
        self.wait(lambda: len(self.steps) > before)

    def window(self, seconds: float) -> Seen:
        """From now, when the log has just said where the run stands, until it does so again; at least so long."""
        before, steps, began = self.spent(), self.steps, time.monotonic()
        time.sleep(seconds)
        self.line()
        after, wall, cpu = self.spent(), time.monotonic() - began, dict.fromkeys((*PARTS, "else"), 0.0)
        for number, (part, spent) in after.items():
            cpu[part] += spent - before.get(number, (part, 0.0))[1]
        # Each line tells the rate since the one before, as near as makes no difference.
        rates = [float(each.replace(",", "")) for each in re.findall(r"tokens in ([\d,]+)/s", self.log())]
        inwards = rates[len(steps) - len(self.steps) :]
        return Seen(self.steps[-1] - steps[-1], wall * sum(inwards) / len(inwards), wall, cpu)


@contextmanager
def local_run(config: Path, nodes: int, *words: str) -> Iterator[LocalRun]:
    """words: overrides of the configuration."""
    with tempfile.TemporaryDirectory(prefix="gato-") as name:
        folder = Path(name)
        command = [sys.executable, "-m", "tests.support.local_cluster", "--nodes", str(nodes), "--folder", name]
        cluster = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert cluster.stdout is not None
        address = next(line for line in cluster.stdout if line.startswith("ray.address=")).strip()
        command = [sys.executable, "-m", "gato_dist", "train", str(config), "--run", str(folder / "run"), address]
        command += ["learner.steps=1000000", "evaluation.every_seconds=100000", *words]
        run = subprocess.Popen(command, env=os.environ | environment(folder / "auth_token"), stdout=subprocess.DEVNULL)
        try:
            yield LocalRun(cluster, run, folder / "run")
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(120)
            cluster.terminate()
            cluster.wait(60)


def standing(config: Path, nodes: int, seconds: float) -> Seen:
    """A run whose experts find no place: all else has started, and waits."""
    with local_run(config, nodes, "actors.resources={nowhere: 1}") as run:
        run.wait(run.settled)
        run.line()
        return run.window(seconds)


def running(config: Path, nodes: int, seconds: float) -> Seen:
    """A run from its first score on: its evaluator waits, and everything has started by then."""
    with local_run(config, nodes) as run:
        run.wait(run.scored)
        run.line()
        return run.window(seconds)
