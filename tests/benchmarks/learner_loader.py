"""Throughput lost to the real loader, compared with batches in memory: a part of tests.benchmarks.learner --all.

Random episodes of numbers and of frames are written as a dataset; the loader of `train --data` reads, encodes, packs
and shuffles them in processes of its own. The same learner trains on them, and on batches that were loaded before.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from gato_dist.episode import Episode, Provenance
from gato_dist.sequence import Batch, DataPosition
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.file_names import task_file_name
from learner.device_batches import DeviceBatch, device_batches
from learner.learner import Learner
from replay.dataset.dataset import Dataset
from replay.dataset.shards import Shard, write_shard
from replay.dataset.storage import Location
from replay.disk_sources import disk_sources
from replay.loader import load_batches
from tests.benchmarks.encoding import IMAGE, STATE
from tests.benchmarks.learner import Clock, make_config

SPECS = (replace(STATE, name="metaworld/reach-v3"), replace(IMAGE, name="ale/pong"))
EPISODES, STEPS, HELD, ROUNDS = 16, 500, 8, 3


def make_dataset(root: Path) -> Dataset:
    rng, shards = np.random.default_rng(0), {}
    for spec in SPECS:
        episodes = {}
        for index in range(EPISODES):
            if spec.name == "ale/pong":
                # Frames that compress like real ones: most of a frame does not change.
                frames = np.repeat(rng.integers(256, size=(STEPS // 20, 64, 80, 3), dtype=np.uint8), 20, axis=0)
                seen, actions = {"image": frames}, rng.integers(6, size=STEPS)
            else:
                seen, actions = {"state": rng.normal(size=(STEPS, 39))}, rng.uniform(-1, 1, size=(STEPS, 4))
            provenance = Provenance(task=spec.name, seed=index, policy="random", policy_hash="0")
            rewards = np.zeros(STEPS, np.float32)
            episodes[index] = Episode(seen, actions, actions, rewards, False, None, provenance)
        path = root / task_file_name(spec.name) / "000000"
        path.parent.mkdir()
        write_shard(path, spec, episodes)
        shards[spec.name] = [Shard(path.with_suffix(".json"))]
    return Dataset(Location.of(root), {}, shards)


def rate(learner: Learner, fed: Iterator[DeviceBatch], steps: int) -> float:
    """Returns tokens per second."""
    clock, tokens = Clock(learner.device), 0
    with clock("steps"):
        for prepared in islice(fed, steps):
            learner.step(prepared)
            tokens += prepared.batch.tokens
    return tokens / clock.seconds["steps"]


def held_batches(batches: Iterator[Batch]) -> list[Batch]:
    return list(islice(batches, HELD))


def run(options: argparse.Namespace, preset: str, rows: int, began: float) -> None:
    """Measures both alternately; prints tokens per second and the share that is lost."""
    if time.monotonic() - began > options.budget:
        print("loader: left out: the time is up")
        return
    config = make_config(preset, rows, options)
    device = torch.device(options.device)
    tokenizer = Tokenizer(
        list(SPECS), TextTokenizer.load(), scheme="paper", encoding="paper", statistics={}, text_size=32000
    )
    learner = Learner.for_run(config, tokenizer, device)
    with TemporaryDirectory() as folder:
        sources = disk_sources(config, tokenizer, make_dataset(Path(folder)), [], seed=0)
        position = DataPosition.start("", 0, config.lanes, len(SPECS))
        batches = load_batches(
            sources,
            batch=rows,
            lanes=config.lanes,
            tensor_size=tokenizer.tensor_size,
            position=position,
            loaders=options.loaders,
        )
        held = device_batches(cycle(held_batches(batches)), learner.prepare, device)
        live = device_batches(batches, learner.prepare, device)
        rates: dict[str, list[float]] = {"held": [], "live": []}
        for number in range(ROUNDS + 1):
            for name, fed in (("held", held), ("live", live)):
                rates[name].append(rate(learner, fed, 2 if number == 0 else options.steps))
    # The first round compiles and warms up.
    before, loaded = (float(np.median(rates[name][1:])) for name in ("held", "live"))
    print(
        f"\nreal loader, {options.loaders} processes: {preset} {rows} rows, batches that are there {before:,.0f} "
        f"tokens/s, loaded {loaded:,.0f} tokens/s: {1 - loaded / before:.1%} lost (medians of {ROUNDS} turns)",
        flush=True,
    )
