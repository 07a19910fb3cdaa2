"""Rates of one actor, one replay server and one learner, and what they say together of a cluster.

`python -m tests.benchmarks.scaling CONFIG`. With `--nodes 1 2 3` checked against runs on local clusters of
as many nodes. They share this machine's cores with whatever else it does: what is compared is processor time of a row.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import MISSING, asdict, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import psutil
import torch

from actors.demonstrate import demonstrate
from actors.experts.registry import make_demonstrator
from gato_dist.config.run_config import RunConfig, load_config
from gato_dist.ports import State
from gato_dist.scores.references import load_reference
from gato_dist.seeds import expert_seeds
from gato_dist.sequence import Batch, Sequences, SequenceShape
from gato_dist.telemetry import ExpertReport, LearnerReport
from gato_dist.tokens.packing import Packer, sequence_shape
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.training.live import make_tokenizer
from learner.checkpoint_folder import CheckpointFolder
from learner.train import Learner, train
from replay.mixture import MixtureBatches, Stream
from replay.reverb.sampler import SequenceStream, table_sequences
from replay.reverb.shards import shard_sequences
from replay.reverb.writer import SequenceWriter
from tests.benchmarks.collecting import serve
from tests.benchmarks.scaling_nodes import running, standing
from tests.benchmarks.throughput_model import Plan, Rates, predict, standing_cores

BLOCK = 64


class Clock:
    """Wall seconds since it was made, and processor seconds: of one other process, or of this one."""

    def __init__(self, other: int | None = None) -> None:
        self._other = psutil.Process(other) if other else None
        self._wall, self._cpu = time.monotonic(), self._spent()

    def _spent(self) -> float:
        return sum(self._other.cpu_times()[:2]) if self._other else time.process_time()

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


@contextmanager
def server(config: RunConfig, shape: SequenceShape, **settings: float) -> Iterator[tuple[str, int]]:
    """host:port and process of a replay server with the first task's table that never makes anybody wait."""
    context, name = multiprocessing.get_context("spawn"), config.tasks[0].name
    ours, theirs = context.Pipe()
    roomy = config.replay.model_copy(update={"size": 4000, "ahead": 10**6, "min_size": 1} | settings)
    process = context.Process(target=serve, args=({name: shape}, roomy, theirs), daemon=True)
    process.start()
    try:
        yield f"localhost:{ours.recv()}", process.pid or 0
    finally:
        ours.send(None)
        process.join(10)


def actor(config: RunConfig, tokenizer: Tokenizer, seconds: float) -> tuple[float, float, Sequences]:
    """Rows a second, processor seconds a row, and some rows, of an expert of the first task that always has room.

    It plays, tokenizes, packs and writes to a server, as in a run.
    """
    task, tokens = config.tasks[0], config.tokens
    demonstrator = make_demonstrator(task, expert_seeds(config.seed, 0, task.num_envs), config.actors.threads)
    packer = Packer(tokenizer.tasks[task.name], tokens.length, task.window_steps, 0, 0, task.keep_repeats)
    rows: list[Sequences] = []
    shape = sequence_shape(tokenizer.tasks[task.name], tokens.length)
    with server(config, shape) as (address, _), SequenceWriter(address, task.name, lambda: False) as writer:

        def write(made: Sequences) -> bool:
            rows.append(made)
            return writer.write(made)

        counters = ExpertReport(task=task.name, number=0)
        steps = demonstrate(demonstrator, tokenizer.tasks[task.name], packer, write, counters=counters)
        while sum(map(len, rows)) < BLOCK:
            next(steps)
        before, clock = sum(map(len, rows)), Clock()
        while clock()[0] < seconds:
            next(steps)
        (wall, cpu), made = clock(), sum(map(len, rows)) - before
    return made / wall, cpu / made, SequenceStream(iter(rows)).take(BLOCK)


def replay(config: RunConfig, rows: Sequences, shape: SequenceShape, seconds: float) -> tuple[float, float]:
    """Rows written and read a second, by one client in turns, and the server's processor seconds of one."""
    name, each = config.tasks[0].name, config.replay.samples_per_insert
    read, done = 0.0, 0
    with server(config, shape) as (address, process), SequenceWriter(address, name, lambda: False) as writer:
        writer.write(rows)
        stream = SequenceStream(table_sequences(address, name, shape))
        stream.take(BLOCK)
        clock = Clock(process)
        while clock()[0] < seconds:
            writer.write(rows)
            read += len(rows) * each
            stream.take(int(read) - done)
            done = int(read)
        (wall, cpu), moved = clock(), done + done / each
    return moved / wall, cpu / moved


class Host:
    """Stops a learner after so many seconds, counted from its eleventh step on; the rest of a run, it has not got."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self.steps = seconds, -10
        self._clock: Clock | None = None
        self.spent = (0.0, 0.0)

    def counted(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        for batch in batches:
            self.steps += 1
            yield batch

    def should_stop(self) -> bool:
        if self.steps == 0:
            self._clock = Clock()
        self.spent = self._clock() if self._clock else (0.0, 0.0)
        return self.spent[0] > self._seconds

    def publish(self, version: int, step: int, weights: State) -> None: ...
    def report(self, report: LearnerReport) -> None: ...
    def saving(self, step: int) -> None: ...
    def note(self, message: str) -> None: ...


def learner(config: RunConfig, tokenizer: Tokenizer, rows: Sequences, seconds: float) -> tuple[float, float]:
    """Rows a second, and processor seconds a row, of one worker whose servers always have rows.

    It reads, collates and trains as in a run, and makes weights to publish and checkpoints as often.
    """
    torch.set_num_threads(config.learner.threads)
    task, share = config.tasks[0], config.learner.batch // config.learner.workers
    shape = sequence_shape(tokenizer.tasks[task.name], config.tokens.length)
    host, alone = Host(seconds), {"steps": 10**9, "minutes": None, "init": None, "workers": 1, "batch": share}
    config = config.model_copy(update={"learner": config.learner.model_copy(update=alone)})
    with (
        server(config, shape, samples_per_insert=1e9) as (address, _),
        SequenceWriter(address, task.name, lambda: False) as writer,
        tempfile.TemporaryDirectory() as folder,
    ):
        writer.write(rows)
        stream = Stream(0, task.weight, shard_sequences([address], 0, task.name, shape, 1, 0))
        batches = MixtureBatches([stream], share, tokenizer.tensor_size, config.seed)
        checkpoints = CheckpointFolder(Path(folder), config.learner.keep_checkpoints)
        train(config, tokenizer, host.counted(batches), host, checkpoints)
    wall, cpu = host.spent
    return host.steps * share / wall, cpu / (host.steps * share)


def stand(path: Path, seconds: float) -> dict[str, float]:
    """What runs on one and on two local nodes take while nothing is written or read."""
    seen = [standing(path, nodes, seconds) for nodes in (1, 2)]
    for nodes, each in enumerate(seen, 1):
        parts = ", ".join(f"{part} {spent / each.seconds:.3f}" for part, spent in each.cpu.items())
        print(f"standing on {nodes} nodes: {each.cores:.3f} cores: {parts}", flush=True)
    return {"run_cpu": seen[0].cores, "node_cpu": seen[1].cores - seen[0].cores}


def apart(function: Callable, *arguments: Any) -> Any:
    """What it returns, called in a process of its own, as each part has one in a run."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def measure(config: RunConfig, seconds: float) -> Rates:
    tokenizer = make_tokenizer(config, {task.name: load_reference(task.name) for task in config.tasks})
    actor_rows, actor_cpu, rows = apart(actor, config, tokenizer, seconds)
    shape = sequence_shape(tokenizer.tasks[config.tasks[0].name], config.tokens.length)
    shard_rows, shard_cpu = apart(replay, config, rows, shape, seconds)
    learner_rows, learner_cpu = apart(learner, config, tokenizer, rows, seconds)
    model = Learner(config, tokenizer).model
    return Rates(
        actor_rows, actor_cpu, shard_rows, shard_cpu, learner_rows, learner_cpu,
        row_bytes=float(rows.to_bytes().shape[1]),
        row_tokens=rows.tokens / len(rows),
        weights_bytes=float(sum(weight.numel() * 4 for weight in model.parameters())),
    )  # fmt: skip


def show(name: str, rates: Rates, plan: Plan) -> None:
    predicted = predict(rates, plan)
    print(f"{name}: {predicted.rows:,.0f} rows/s, {predicted.rows * rates.row_tokens:,.0f} tokens/s")
    for part, rows in sorted(predicted.limits.items(), key=lambda limit: limit[1]):
        print(f"  {part:16} {rows:14,.0f} rows/s")
    print(f"  first bound by: {predicted.bottleneck}; weights take {predicted.broadcast:.4f} of the publisher's link")


def check(path: Path, batch: int, rates: Rates, plan: Plan, seconds: float) -> None:
    """Runs it on local nodes; prints what was seen, and what the model says of as many rows a second.

    Nothing holds a learner back whose experts come behind: they may write less than they are planned to, where others
    take the cores. So that is seen, too.
    """
    seen = running(path, plan.shared_nodes, seconds)
    rows, written = seen.steps * batch, seen.tokens / rates.row_tokens
    told = predict(rates, plan)
    plan = replace(plan, samples_per_insert=rows / written)
    standing = standing_cores(rates, plan)
    costs = {
        "learner worker": rates.learner_cpu * rows, "expert": rates.actor_cpu * written,
        "replay server": rates.shard_cpu * (rows + written), "standing": standing * seen.seconds,
    }  # fmt: skip
    parts = {part: seen.cpu[part] for part in costs if part in seen.cpu}
    parts["standing"] = sum(seen.cpu.values()) - sum(parts.values())
    by_part = (f"{part} {1e3 * parts[part] / rows:.2f} ({1e3 * costs[part] / rows:.2f})" for part in costs)
    print(
        f"{plan.shared_nodes} nodes: {rows / seen.seconds:.0f} rows/s ({told.rows:.0f} predicted) on {seen.cores:.2f} "
        f"cores, {rows / written:.1f} read for one written; core-ms a row {1e3 * sum(seen.cpu.values()) / rows:.2f} "
        f"({1e3 * sum(costs.values()) / rows:.2f}): {', '.join(by_part)}",
        flush=True,
    )


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
    parser.add_argument("--window", type=float, default=60.0, help="seconds of each of those runs that are looked at")
    parser.add_argument(
        "--plan",
        type=json.loads,
        default=None,
        help="a cluster to predict, as JSON of tests.benchmarks.throughput_model.Plan",
    )
    parser.add_argument(
        "--rates",
        type=json.loads,
        default={},
        help="rates that were measured elsewhere, over those here; all of them: nothing is measured",
    )
    words = parser.parse_args()
    config = load_config(words.config)
    known = {field.name for field in fields(Rates) if field.default is MISSING} <= set(words.rates)
    with busy(0 if known else words.busy):
        rates = Rates(**words.rates) if known else measure(config, words.seconds)
    if words.processor_time:
        own = {part: 1 / getattr(rates, f"{part}_cpu") for part in ("actor", "shard", "learner")}
        rates = replace(rates, **{f"{part}_rows": rows for part, rows in own.items()})
    if words.nodes and not known:
        rates = replace(rates, **stand(words.config, words.window))
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
    for nodes in words.nodes:
        check(words.config, config.learner.batch, rates, replace(here, shared_nodes=nodes), words.window)


if __name__ == "__main__":
    main()
