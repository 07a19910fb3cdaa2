"""Rows for the learner from a dataset on disk: the same tokens, windows and rows as through replay."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.errors import InputError
from gato_dist.sequence import Rows
from gato_dist.specs import TaskSpec
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer
from replay.episodes import Entry, Manifest, Shard
from replay.sampler import slice_rows
from replay.storage import Location

FORMAT = "gato_dist dataset 1"
SETTINGS = "dataset.json"
# How a dataset was made, where its dataset.json does not say. policy: `expert`, `random`, `gato` or whatever made it;
# checkpoint: Gato's; min_fraction, min_returns: what dropped episodes; experts: what demonstrated each task;
# episodes, steps: how many are wanted of each task.
DEFAULTS: dict[str, Any] = {
    "policy": None, "checkpoint": None, "seed": None, "min_fraction": None, "min_returns": {}, "experts": {},
    "episodes": {}, "steps": {},
}  # fmt: skip
READERS = 16  # manifests that are read at once
POOL = 512  # rows from which the next is drawn: those of one episode come at once and are much alike


@dataclass(frozen=True)
class Dataset:
    """A dataset's shards by task. settings: how it was made, from dataset.json."""

    root: Location
    settings: dict[str, Any]
    shards: dict[str, list[Shard]]

    @classmethod
    def open(cls, where: str | Path | Location) -> "Dataset":
        """Reads every manifest. Raises InputError where there is no dataset, or a manifest is damaged."""
        root = Location.of(where)
        settings = read_settings(root)
        shards: dict[str, list[Shard]] = {}
        for shard in read_shards(root.glob("*/*.json")):
            shards.setdefault(shard.manifest.spec.name, []).append(shard)
        return cls(root, settings, shards)

    def spec(self, task: str) -> TaskSpec:
        """Raises InputError for a task that the dataset does not hold."""
        if task not in self.shards:
            raise InputError(f"{self.root}: holds no {task}; it has {', '.join(self.shards) or 'no episode yet'}")
        return self.shards[task][0].manifest.spec

    def manifests(self, task: str) -> list[Manifest]:
        return [shard.manifest for shard in self.shards[task]]


def read_shards(manifests: list[Location]) -> list[Shard]:
    """Raises InputError where a manifest is damaged."""
    # Elsewhere each is a request that takes a while.
    with ThreadPoolExecutor(READERS) as pool:
        return list(pool.map(Shard, manifests))


def read_settings(where: str | Path | Location) -> dict[str, Any]:
    """dataset.json, every key of `DEFAULTS` included. Raises InputError where it is missing or damaged."""
    root = Location.of(where)
    path = root / SETTINGS
    try:
        settings = json.loads(path.read_text())
        if settings["format"] != FORMAT:
            raise InputError(f"{path}: format {settings['format']!r}, this version reads {FORMAT!r}")
        return DEFAULTS | settings
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{root}: no dataset there: {SETTINGS} is missing or damaged ({error})") from error


def dataset_rows(
    shards: list[Shard],
    tokenizer: TaskTokenizer,
    make_packer: Callable[[], Packer],
    seed: int,
    rank: int = 0,
    workers: int = 1,
) -> Iterator[Rows]:
    """Rows of one task without end, one at a time, shuffled in a pool.

    Every epoch reads each episode once, in an order of its own, of which worker `rank` takes every `workers`-th; the
    packer lives on over epochs, so that windows are cut anew.
    """
    everything = [(shard, entry) for shard in shards for entry in shard.manifest.entries]
    if len(everything) < workers:
        raise InputError(f"{tokenizer.spec.name}: {len(everything)} episodes for {workers} learner workers")
    pool: list[Rows] = []
    random, packer = np.random.default_rng([seed, rank]), make_packer()
    for shard, entry in _forever(everything, seed, rank, workers):
        episode = shard.episode(entry)
        rows = packer.add(tokenizer.encode(episode.observations, episode.targets), entry.provenance.weights_version)
        pool += [slice_rows(rows, i, i + 1) for i in range(len(rows))] if rows is not None else []
        while len(pool) >= POOL:
            yield pool.pop(int(random.integers(len(pool))))


def _forever(
    everything: list[tuple[Shard, Entry]], seed: int, rank: int, workers: int
) -> Iterator[tuple[Shard, Entry]]:
    epoch = 0
    while True:
        order = np.random.default_rng([seed, epoch]).permutation(len(everything))
        for index in order[rank::workers]:
            yield everything[index]
        epoch += 1
