"""Tokens per second of several workers, for each learner.sharding: a part of tests.benchmarks.learner --all."""

import argparse
import time
from functools import partial
from itertools import repeat

import torch

from learner import parallel
from learner.device_batches import device_batches
from learner.learner import Learner
from learner.local_workers import run_workers
from tests.benchmarks.learner import KINDS, Clock, make_batch, make_config, make_tokenizer, peak_gigabytes


def measure(sharding: str, options: argparse.Namespace, preset: str, rows: int, workers: int) -> None:
    """The job of one worker, with `rows` sequences of a global batch. The first worker prints a line."""
    torch.set_num_threads(options.threads)
    with parallel.process_group(options.device == "cuda") as device:
        tokenizer = make_tokenizer()
        config = make_config(preset, rows * workers, options, workers=workers, sharding=sharding)
        learner, clock = Learner.for_run(config, tokenizer, device), Clock(device)
        batch = make_batch(tokenizer, KINDS["mixed"], rows, options.length)
        fed = device_batches(repeat(batch), learner.prepare, device)
        for _ in range(2):
            learner.step(next(fed))
        with clock("steps"):
            for _ in range(options.steps):
                learner.step(next(fed))
        (tokens,) = parallel.sum_over_workers([batch.tokens])
        if parallel.is_first_worker():
            rate = tokens * options.steps / clock.seconds["steps"]
            name = "alone" if workers == 1 else "DDP" if sharding == "none" else "FSDP2"
            memory = f"{peak_gigabytes(device):.1f} GB each"
            print(f"{preset:12} {name:6} {workers} × {rows} rows {rate:10,.0f} tokens/s, {memory}", flush=True)


def run(options: argparse.Namespace, preset: str, rows: int, began: float) -> None:
    """Measures one worker, then one for each GPU (or two on a CPU), with DDP and with FSDP2."""
    most = torch.cuda.device_count() if options.device == "cuda" else 2
    print("\nworkers, the same rows for each")
    for workers, sharding in ((1, "none"), (most, "none"), (most, "full")):
        if time.monotonic() - began > options.budget:
            print("left out: the time is up")
        elif workers > 1 or sharding == "none":
            run_workers(partial(measure, sharding, options, preset, rows, workers), workers)
        if most == 1:
            print("one GPU: there is nobody to share with")
            return
