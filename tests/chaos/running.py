"""A real run for fault injection: its processes by kind, its log, and methods to kill and resume it."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import portpicker
import psutil
import yaml

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from tests.chaos.nodes import Nodes

# Short intervals and a tiny model: only recovery matters. Actors have the lowest priority.
CONFIG = """
name: chaos
tasks:
  - {name: babyai/go-to-red-ball-grey, num_envs: 4, window_steps: 3, relabel_steps: 20}
  - {name: babyai/go-to-local, num_envs: 4, window_steps: 3, relabel_actors: 0}
model: {width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8}
learner: {steps: 10000000, batch: 6, warmup_steps: 5, publish_seconds: 2, checkpoint_seconds: 8}
tokens: {length: 64}
replay: {size: 1000, max_sequences_ahead: 200, min_size: 4, samples_per_insert: 1}
actors: {max_failures: 1000000, niceness: 19}
relabel: {actors: 1, start: 0.0, until: 0.0, niceness: 19}
evaluation: {episodes: 2, final_episodes: 2, every_seconds: 2, final_actors: 1, niceness: 19}
"""
# Kind of process → a part of its command line, as Ray sets it.
KINDS = {
    "expert": "ray::ExpertActor",
    "Gato actor": "ray::GatoActor",
    "evaluator": "ray::EvaluatorActor",
    "replay server": "ray::ReplayActor",
    "learner worker": "ray::RayTrainWorker",
    "learner's driver": "ray::fit",
    "coordinator": "ray::CoordinatorActor",
    "driver": "gato_dist",
}
PATIENCE = 600.0  # seconds; only a hang takes so long, also on a busy machine


def quiet_port() -> int:
    """Returns a free port that neither Ray nor outgoing connections will use before replay does."""
    return next(port for port in random.sample(range(20_000, 32_768), 1000) if portpicker.is_port_free(port))


class Stuck(AssertionError):
    """The run did not do what it should in time, or ended."""


class Running:
    """A run in a folder.

    Args:
        folder: for the run, its configuration and output.
        nodes: the cluster that it joins; None if it starts its own Ray.
    """

    def __init__(self, folder: Path, nodes: "Nodes | None" = None) -> None:
        self.folder, self.run, self.nodes = folder, folder / "run", nodes
        self.port = quiet_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = yaml.safe_load(CONFIG)
        settings["replay"]["port"] = self.port
        (folder / "chaos.yaml").write_text(yaml.safe_dump(settings))
        self.process: subprocess.Popen | None = None
        self._began = 0  # index of the first log line of the current start

    def start(self, resume: bool = False) -> None:
        """Starts the command, or resumes the run."""
        command = [sys.executable, "-m", "gato_dist", "train", str(self.folder / "chaos.yaml"), "--run", str(self.run)]
        self._began = len(self.log())
        command += (self.nodes.overrides if self.nodes else []) + ["--resume"] * resume
        with (self.folder / "output.txt").open("a") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)

    def end(self) -> int:
        """Interrupts the run. Returns its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=PATIENCE)

    def log(self) -> list[str]:
        """Returns the lines of log.txt."""
        path = self.run / "log.txt"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, start: str, number: int, after: int, what: str) -> None:
        """Waits until `number` lines of the log, from line `after` on, start with `start`."""
        self.until(lambda: sum(line.startswith(start) for line in self.log()[after:]) >= number, what)

    def wait_for_training(self, after: int = 0) -> None:
        """Waits until a log line from line `after` on reports training."""
        self.until(lambda: any(" training " in line for line in self.log()[after:]), "training")

    def wait_for_checkpoint(self) -> None:
        """Waits for the first checkpoint of replay, which follows the learner's."""
        self.until(lambda: any(self.run.glob("replay/checkpoints/step-*/shard-0/manifest.json")), "checkpoint")

    def replay_address(self) -> str:
        """Returns host:port of the current replay server."""
        found = re.findall(r"replay server 0 listens at (\S+),", "\n".join(self.log()[self._began :]))
        return found[-1] if found else f"localhost:{self.port}"

    def next_replay_checkpoint(self) -> Path:
        """Waits for the next checkpoint of replay, and returns its folder."""
        now, pattern = time.time(), "replay/checkpoints/step-*/shard-0/manifest.json"
        self.until(lambda: any(modified_at(path) > now for path in self.run.glob(pattern)), "a checkpoint of replay")
        return max(self.run.glob(pattern), key=modified_at).parent

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Waits until `holds()`. Raises Stuck, which names `what`, if the run ends or hangs."""
        until = time.monotonic() + PATIENCE
        while not holds():
            if self.process is None or self.process.poll() is not None:
                raise Stuck(f"{what}: the run ended: {self.output()}")
            if time.monotonic() > until:
                raise Stuck(f"{what}: not in {PATIENCE:.0f} s: {self.output()}")
            time.sleep(0.1)

    def output(self) -> str:
        """Returns the end of what the run printed."""
        return (self.folder / "output.txt").read_text()[-3000:]

    def processes(self, kind: str) -> list[psutil.Process]:
        """Returns the run's processes of a kind, also those in a cluster that this process started."""
        return [each for each in family(psutil.Process()) if KINDS[kind] in command_of(each) and is_of(kind, each)]

    def kill(self, kind: str, draw: random.Random) -> int:
        """Kills a random process of a kind. Returns its process id."""
        found = sorted(self.processes(kind), key=lambda each: each.pid)
        if not found:
            raise Stuck(f"no {kind} to kill: {self.output()}")
        victim = draw.choice(found)
        victim.kill()
        return victim.pid


def modified_at(path: Path) -> float:
    """Returns the time of the last change; 0 if the file is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def is_of(kind: str, process: psutil.Process) -> bool:
    """Returns whether a process whose command fits a kind really is of that kind."""
    return kind != "driver" or " train " in command_of(process)


def family(process: psutil.Process) -> list[psutil.Process]:
    """Returns all descendants of a process; empty if it is gone."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> str:
    """Returns the command line of a process, and a space; "" if it is gone."""
    try:
        return " ".join(process.cmdline()) + " "
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def still_alive(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Returns the processes that have not ended after `seconds`."""
    _, left = psutil.wait_procs(list(processes), timeout=seconds)
    return [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def usage(running: Running) -> dict[str, tuple[int, float, int]]:
    """Returns, by kind, the number of processes, and the memory (MiB) and open files of the largest.

    A last entry has the sums over all processes, Ray's own included.
    """
    found, everything = {}, [sizes_of(each) for each in family(psutil.Process())]
    for kind in KINDS:
        if sizes := [size for process in running.processes(kind) if (size := sizes_of(process))]:
            found[kind] = (len(sizes), max(size for size, _ in sizes), max(files for _, files in sizes))
    alive = [size for size in everything if size]
    found["all, also Ray's"] = (len(alive), sum(size for size, _ in alive), sum(files for _, files in alive))
    return found


def sizes_of(process: psutil.Process) -> tuple[float, int] | None:
    """Returns the private memory of a process in MiB, and its open files; None if it is gone."""
    try:
        return process.memory_full_info().uss / 2**20, len(os.listdir(f"/proc/{process.pid}/fd"))
    except (psutil.NoSuchProcess, OSError):
        return None
