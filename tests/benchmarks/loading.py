"""Compares loading a dataset from disk with training on it, in tokens per second: python -m tests.benchmarks.loading

Each runs alone on one core: first the loader of `train --data` in this process (reading, decompressing, tokenizing,
packing, shuffling, collating), then quickstart's learner on batches in memory. The dataset is new, played by uniformly
random policies.
"""

import argparse
import platform
import time
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from gato_dist.sequence import Batch
from gato_dist.utils.file_names import task_file_name
from tests.support.paths import ROOT

SUITES = {
    "numbers": ("metaworld/reach-v3", "dm_control/cartpole-swingup"),
    "a small grid": ("babyai/go-to-local",),
    "images": ("ale/pong", "procgen/coinrun"),
}
QUICKSTART = ROOT / "configs/quickstart.yaml"
EPISODES = 48


def collect(root: Path, task: str) -> None:
    from actors.evaluate import play_expert
    from gato_dist.envs.registry import task_spec
    from gato_dist.seeds import reference_seeds
    from replay.dataset.shards import write_shard

    played = list(islice(play_expert(task, reference_seeds(EPISODES), "random"), EPISODES))
    for first in range(0, EPISODES, 16):
        write_shard(
            root / task_file_name(task) / f"{first:06d}", task_spec(task), dict(enumerate(played[first : first + 16]))
        )


def loading_rate(batches: Iterator[Batch], seconds: float) -> float:
    """Returns tokens per second, once the files are in the page cache."""
    for _ in range(8):
        next(batches)
    tokens, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        tokens += next(batches).tokens
    return tokens / (time.perf_counter() - began)


def measure(tasks: tuple[str, ...], seconds: float) -> tuple[float, float]:
    """Returns tokens per second of loading and of training."""
    import torch

    from gato_dist.config.run_config import load_config, parse_config
    from gato_dist.sequence import DataPosition
    from gato_dist.training.tokenizer import make_tokenizer
    from learner.learner import Learner
    from replay.dataset.dataset import Dataset
    from replay.dataset.shards import Shard
    from replay.dataset.storage import Location
    from replay.disk_sources import disk_sources
    from replay.loader import load_batches

    torch.set_num_threads(1)
    plain = load_config(QUICKSTART).model_dump(mode="json")
    plain["tasks"] = [{"name": task} for task in tasks]
    config = parse_config(plain, "benchmark")
    tokenizer = make_tokenizer(config)
    with TemporaryDirectory() as folder:
        for task in tasks:
            collect(Path(folder), task)
        paths = {task: sorted((Path(folder) / task_file_name(task)).glob("*.json")) for task in tasks}
        shards = {task: [Shard(path) for path in some] for task, some in paths.items()}
        sources = disk_sources(config, tokenizer, Dataset(Location.of(folder), {}, shards), [], 0)
        position = DataPosition.start("", 0, config.lanes, len(tasks))
        batches = load_batches(
            sources,
            batch=config.learner.batch,
            lanes=config.lanes,
            tensor_size=tokenizer.tensor_size,
            position=position,
        )
        loaded = loading_rate(batches, seconds)
        in_memory, learner = list(islice(batches, 16)), Learner.for_run(config, tokenizer)
    learner.step(in_memory[0])
    tokens, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        for batch in in_memory:
            learner.step(batch)
            tokens += batch.tokens
    return loaded, tokens / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    seconds = parser.parse_args().seconds
    print(f"{date.today()}, {platform.processor() or platform.machine()}, one core each; tokens per second")
    print(f"{'':14} {'loaded':>10} {'trained':>9}   ratio")
    for name, tasks in SUITES.items():
        loaded, trained = measure(tasks, seconds)
        print(f"{name:14} {loaded:10,.0f} {trained:9,.0f}   {loaded / trained:.1f}   ({', '.join(tasks)})")


if __name__ == "__main__":
    main()
