"""Rates of one actor, one replay server and one learner, and what they say together of a cluster.

`python -m tests.benchmarks.scaling CONFIG`. With `--nodes 1 2 3` checked against runs on local clusters of
as many nodes. They share this machine's cores with whatever else it does: what is compared is processor time of a row.
"""

import argparse
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from actors.demonstrate import demonstrate
from actors.experts.registry import make_demonstrator
from gato_dist.config import RunConfig, load_config
from gato_dist.run import make_tokenizer
from gato_dist.scaling import Plan, Rates, predict
from gato_dist.scores import load_reference
from gato_dist.seeds import expert_seeds
from gato_dist.sequence import Rows, collate
from gato_dist.tokens.packing import Packer, row_shape
from gato_dist.tokens.tokenizer import Tokenizer
from learner.train import Learner
from replay.sampler import RowStream, table_rows
from replay.writer import RowWriter
from tests.benchmarks.collecting import serve
from tests.chaos.running import KINDS, command_of
from tests.local_cluster import environment

BLOCK = 64
PARTS = ("learner worker", "expert", "replay server", "evaluator", "board")


class Clock:
    """Wall and processor seconds since it was made, of this process and those beside it."""

    def __init__(self, *beside: psutil.Process) -> None:
        self._beside = beside
        self._wall, self._cpu = time.monotonic(), self._spent()

    def _spent(self) -> float:
        return time.process_time() + sum(sum(each.cpu_times()[:2]) for each in self._beside)

    def __call__(self) -> tuple[float, float]:
        return time.monotonic() - self._wall, self._spent() - self._cpu


@contextmanager
def busy(number: int) -> Iterator[None]:
    """Keeps as many cores busy as a run would: what two cores share, such as caches, they have less of each then."""
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_multiply, daemon=True) for _ in range(number)]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.join()


def _multiply() -> None:
    torch.set_num_threads(1)
    left, right = torch.rand(1024, 128), torch.rand(128, 512)
    while True:
        (left @ right).relu_()


def actor(config: RunConfig, tokenizer: Tokenizer, seconds: float) -> tuple[float, float, Rows]:
    """Rows a second, processor seconds a row, and some rows, of an expert of the first task that always has room."""
    task, tokens = config.tasks[0], config.tokens
    demonstrator = make_demonstrator(task, expert_seeds(config.seed, 0, task.num_envs), config.actors.threads)
    packer = Packer(tokenizer.tasks[task.name], tokens.length, task.window_steps, 0, 0, task.keep_repeats)
    rows: list[Rows] = []
    figures = demonstrate(
        demonstrator, tokenizer.tasks[task.name], packer, lambda made: bool(rows.append(made)) or True
    )
    while sum(map(len, rows)) < BLOCK:
        next(figures)
    before, clock = sum(map(len, rows)), Clock()
    while clock()[0] < seconds:
        next(figures)
    (wall, cpu), made = clock(), sum(map(len, rows)) - before
    return made / wall, cpu / made, RowStream(iter(rows)).take(BLOCK)


def replay(config: RunConfig, rows: Rows, shape: Any, seconds: float) -> tuple[float, float]:
    """Rows written and read a second, and processor seconds of one, clients included."""
    context, name = multiprocessing.get_context("spawn"), config.tasks[0].name
    ours, theirs = context.Pipe()
    settings = config.replay.model_copy(update={"size": 4000, "ahead": 2000, "min_size": 1})
    process = context.Process(target=serve, args=({name: shape}, settings, theirs), daemon=True)
    process.start()
    address, read, done = f"localhost:{ours.recv()}", 0.0, 0
    with RowWriter(address, name, lambda: False) as writer:
        writer.write(rows)
        stream = RowStream(table_rows(address, name, shape))
        stream.take(BLOCK)
        clock = Clock(psutil.Process(process.pid))
        while clock()[0] < seconds:
            writer.write(rows)
            read += len(rows) * settings.samples_per_insert
            stream.take(int(read) - done)
            done = int(read)
        (wall, cpu), moved = clock(), done + done / settings.samples_per_insert
    ours.send(None)
    process.join(10)
    return moved / wall, cpu / moved


def learner(config: RunConfig, tokenizer: Tokenizer, rows: Rows, seconds: float) -> tuple[float, float]:
    """Rows a second, and processor seconds a row, of one worker that always has a batch."""
    torch.set_num_threads(config.learner.threads)
    one = Learner(config, tokenizer)
    drawn = np.random.default_rng(0).integers(len(rows), size=config.learner.batch)
    picked = rows.take(drawn)
    batch = collate([(0, picked)], tokenizer.tensor_size)
    for _ in range(3):
        one.step(batch)
    clock, steps = Clock(), 0
    while clock()[0] < seconds:
        one.step(batch)
        steps += 1
    wall, cpu = clock()
    return steps * config.learner.batch / wall, cpu / (steps * config.learner.batch)


def measure(config: RunConfig, seconds: float) -> Rates:
    tokenizer = make_tokenizer(config, {task.name: load_reference(task.name) for task in config.tasks})
    actor_rows, actor_cpu, rows = actor(config, tokenizer, seconds)
    shape = row_shape(tokenizer.tasks[config.tasks[0].name], config.tokens.length)
    shard_rows, shard_cpu = replay(config, rows, shape, seconds)
    learner_rows, learner_cpu = learner(config, tokenizer, rows, seconds)
    model = Learner(config, tokenizer).model
    return Rates(
        actor_rows, actor_cpu, shard_rows, shard_cpu, learner_rows, learner_cpu,
        row_bytes=float(rows.to_bytes().shape[1]),
        row_tokens=rows.tokens / len(rows),
        weights_bytes=float(sum(weight.numel() * 4 for weight in model.parameters())),
    )  # fmt: skip


def observe(config: Path, nodes: int, steps: int, folder: Path) -> dict[str, float]:
    """step, seconds, processor seconds (`cpu`; by part, too) of a local cluster's run, `steps` steps or a few more."""
    words = [sys.executable, "-m", "tests.local_cluster", "--nodes", str(nodes), "--folder", str(folder)]
    cluster = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert cluster.stdout is not None
    address = next(line for line in cluster.stdout if line.startswith("ray.address=")).strip()
    words = [sys.executable, "-m", "gato_dist", "train", str(config), "--run", str(folder / "run"), address]
    words += ["learner.steps=1000000", "evaluation.every_seconds=100000"]
    run = subprocess.Popen(words, env=os.environ | environment(folder / "auth_token"))
    try:
        began = _at_step(folder / "run", 1, cluster, run)
        ended = _at_step(folder / "run", int(began["step"]) + steps, cluster, run)
    finally:
        run.send_signal(signal.SIGINT)
        run.wait(120)
        cluster.terminate()
        cluster.wait(60)
    return {key: ended[key] - began[key] for key in began}


def _at_step(folder: Path, step: int, *processes: subprocess.Popen) -> dict[str, float]:
    """Waits for the first line of the log at that step or later; then: step, seconds, cpu."""
    for _ in count():
        log = (folder / "log.txt").read_text() if (folder / "log.txt").exists() else ""
        seen = [int(number) for number in re.findall(r" step (\d+) ", log)]
        if seen and seen[-1] >= step:
            spent = dict.fromkeys(PARTS, 0.0) | {"else": 0.0}
            for each in [each for process in processes for each in _family(process) if each.is_running()]:
                command = command_of(each)
                spent[next((kind for kind in PARTS if KINDS[kind] in command), "else")] += sum(each.cpu_times()[:2])
            return {"step": seen[-1], "seconds": time.monotonic(), "cpu": sum(spent.values())} | spent
        assert processes[-1].poll() is None, log
        time.sleep(0.2)
    raise AssertionError


def _family(process: subprocess.Popen) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


def show(name: str, rates: Rates, plan: Plan) -> None:
    predicted = predict(rates, plan)
    print(f"{name}: {predicted.rows:,.0f} rows/s, {predicted.rows * rates.row_tokens:,.0f} tokens/s")
    for part, rows in sorted(predicted.limits.items(), key=lambda limit: limit[1]):
        print(f"  {part:16} {rows:14,.0f} rows/s")
    print(f"  first bound by: {predicted.bottleneck}; weights take {predicted.broadcast:.4f} of the publisher's link")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("--seconds", type=float, default=10.0, help="that each part is measured for")
    parser.add_argument(
        "--processor-time", action="store_true",
        help="rates from processor time, not from the clock: for a machine that does much else; not for GPUs",
    )  # fmt: skip
    parser.add_argument("--busy", type=int, default=0, help="other cores that are kept busy while parts are measured")
    parser.add_argument("--nodes", type=int, nargs="*", default=[], help="local clusters to check the prediction on")
    parser.add_argument("--steps", type=int, default=300, help="of each of those runs")
    parser.add_argument(
        "--plan", type=json.loads, default=None, help="a cluster to predict, as JSON of gato_dist.scaling.Plan"
    )
    parser.add_argument(
        "--rates",
        type=json.loads,
        default={},
        help="rates that were measured elsewhere, over those here; all of them: nothing is measured",
    )
    words = parser.parse_args()
    config = load_config(words.config)
    known = set(words.rates) == {field.name for field in fields(Rates)}
    with busy(0 if known else words.busy):
        rates = Rates(**words.rates) if known else measure(config, words.seconds)
    if words.processor_time:
        own = {part: 1 / getattr(rates, f"{part}_cpu") for part in ("actor", "shard", "learner")}
        rates = replace(rates, **{f"{part}_rows": rows for part, rows in own.items()})
    rates = replace(rates, **words.rates)
    print(f"{date.today()}, {words.config}")
    print(json.dumps({key: float(f"{value:.4g}") for key, value in asdict(rates).items()}))
    here = Plan(
        actors=config.actors.copies, shards=config.replay.shards, learners=config.learner.workers,
        samples_per_insert=config.replay.samples_per_insert, shared_cores=float(psutil.cpu_count() or 1),
    )  # fmt: skip
    show("this machine", rates, here)
    if words.plan:
        show("plan", rates, Plan(**words.plan))
    core_seconds = here.shared_cores / predict(rates, here).limits["shared cores"]
    for nodes in words.nodes:
        with tempfile.TemporaryDirectory(prefix="gato-") as folder:
            seen = observe(words.config, nodes, words.steps, Path(folder))
        rows = seen["step"] * config.learner.batch
        print(
            f"{nodes} nodes: {rows / seen['seconds']:.0f} rows/s on {seen['cpu'] / seen['seconds']:.2f} cores; "
            f"{1e3 * seen['cpu'] / rows:.2f} core-ms a row, {1e3 * core_seconds:.2f} predicted: "
            + ", ".join(f"{part} {1e3 * seen[part] / rows:.2f}" for part in (*PARTS, "else"))
        )


if __name__ == "__main__":
    main()
