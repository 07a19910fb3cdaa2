"""A real run as chaos sees it: its processes by kind, its log, and ways to kill and to resume it."""

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

# Figures of seconds, on a model of no use: what is asked is whether it goes on. Its actors give way to all else.
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
# Of the run's processes, by how Ray calls them; the driver is called by its command.
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
PATIENCE = 600.0  # against hangs alone: machines are busy


def quiet_port() -> int:
    """A free port of those that neither Ray nor outgoing connections draw: it must stay free until replay takes it."""
    return next(port for port in random.sample(range(20_000, 32_768), 1000) if portpicker.is_port_free(port))


class Stuck(AssertionError):
    """The run did not do what it should have, or ended."""


class Running:
    """A run in `folder`, started anew or resumed. nodes: of a cluster that it joins; else it starts its own Ray."""

    def __init__(self, folder: Path, nodes: "Nodes | None" = None) -> None:
        self.folder, self.run, self.nodes = folder, folder / "run", nodes
        self.port = quiet_port()
        folder.mkdir(parents=True, exist_ok=True)
        settings = yaml.safe_load(CONFIG)
        settings["replay"]["port"] = self.port
        (folder / "chaos.yaml").write_text(yaml.safe_dump(settings))
        self.process: subprocess.Popen | None = None
        self._began = 0  # line of the log that this start's begin with

    def start(self, resume: bool = False) -> None:
        command = [sys.executable, "-m", "gato_dist", "train", str(self.folder / "chaos.yaml"), "--run", str(self.run)]
        self._began = len(self.log())
        command += (self.nodes.words if self.nodes else []) + ["--resume"] * resume
        with (self.folder / "output.txt").open("a") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)

    def end(self) -> int:
        """Interrupts it; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=PATIENCE)

    def log(self) -> list[str]:
        path = self.run / "log.txt"
        return path.read_text().splitlines() if path.exists() else []

    def wait_for(self, begins: str, number: int, after: int, what: str) -> None:
        """Until so many lines of the log, from line `after` on, begin so."""
        self.until(lambda: sum(line.startswith(begins) for line in self.log()[after:]) >= number, what)

    def wait_for_training(self, after: int = 0) -> None:
        self.until(lambda: any(" training " in line for line in self.log()[after:]), "training")

    def wait_for_checkpoint(self) -> None:
        """Until there is one of replay, which comes with the learner's."""
        self.until(lambda: any(self.run.glob("replay/checkpoints/step-*/shard-0/manifest.json")), "checkpoint")

    def replay_place(self) -> str:
        """host:port of the replay server of the moment."""
        found = re.findall(r"replay server 0 listens at (\S+),", "\n".join(self.log()[self._began :]))
        return found[-1] if found else f"localhost:{self.port}"

    def replay_saved(self) -> Path:
        """The next checkpoint of replay that is written from now on."""
        now, pattern = time.time(), "replay/checkpoints/step-*/shard-0/manifest.json"
        self.until(lambda: any(written(path) > now for path in self.run.glob(pattern)), "a checkpoint of replay")
        return max(self.run.glob(pattern), key=written).parent

    def until(self, holds: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not holds():
            if self.process is None or self.process.poll() is not None:
                raise Stuck(f"{what}: the run ended: {self.output()}")
            if time.monotonic() > until:
                raise Stuck(f"{what}: not in {PATIENCE:.0f} s: {self.output()}")
            time.sleep(0.1)

    def output(self) -> str:
        return (self.folder / "output.txt").read_text()[-3000:]

    def processes(self, kind: str) -> list[psutil.Process]:
        """Those of a kind; also what a cluster that this process started runs for it."""
        return [each for each in family(psutil.Process()) if KINDS[kind] in command_of(each) and is_of(kind, each)]

    def kill(self, kind: str, draw: random.Random) -> int:
        """Kills one of a kind, drawn; its process id."""
        found = sorted(self.processes(kind), key=lambda each: each.pid)
        if not found:
            raise Stuck(f"there is no {kind} to kill: {self.output()}")
        victim = draw.choice(found)
        victim.kill()
        return victim.pid


def written(path: Path) -> float:
    """When; long ago where it is gone."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def is_of(kind: str, process: psutil.Process) -> bool:
    return kind != "driver" or " train " in command_of(process)


def family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()) + " "
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return ""


def still_alive(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Which of them have not ended after so long."""
    _, left = psutil.wait_procs(list(processes), timeout=seconds)
    return [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def usage(running: Running) -> dict[str, tuple[int, float, int]]:
    """By kind: processes, their memory in MiB and open files, both of the largest of them; of all, also Ray's: sums."""
    found, everything = {}, [sizes_of(each) for each in family(psutil.Process())]
    for kind in KINDS:
        if sizes := [size for process in running.processes(kind) if (size := sizes_of(process))]:
            found[kind] = (len(sizes), max(size for size, _ in sizes), max(files for _, files in sizes))
    alive = [size for size in everything if size]
    found["all, also Ray's"] = (len(alive), sum(size for size, _ in alive), sum(files for _, files in alive))
    return found


def sizes_of(process: psutil.Process) -> tuple[float, int] | None:
    """Its own memory in MiB, and its open files; None where it is gone."""
    try:
        return process.memory_full_info().uss / 2**20, len(os.listdir(f"/proc/{process.pid}/fd"))
    except (psutil.NoSuchProcess, OSError):
        return None
