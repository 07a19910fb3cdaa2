"""Datasets on disk, and their rows for the learner: the same tokens, windows and rows as through replay."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.sequence import Sequences
from gato_dist.specs import TaskSpec
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer, min_step_tokens
from gato_dist.tokens.steps import StepTokens
from gato_dist.utils.typed_json import read_as
from replay.dataset.episodes import GROUP, Manifest, Shard, decode_steps, read_groups
from replay.dataset.storage import Location
from replay.reverb.sampler import join_sequences, take_sequences

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
SEGMENT = 4  # row groups that are read, cut and packed as one: more shuffles worse, less cuts more windows short
CHUNK_ROWS = 32  # about as many rows are packed and shuffled together


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
        for key in ("episodes", "steps"):
            settings[key] = read_as(dict[str, int], settings.get(key, {}))
        for key in ("min_returns", "experts"):
            settings[key] = read_as(dict[str, Any], settings.get(key, {}))
        settings["checkpoint"] = read_as(dict[str, Any] | None, settings.get("checkpoint"))  # type: ignore[arg-type]
        settings["min_fraction"] = read_as(float | None, settings.get("min_fraction"))  # type: ignore[arg-type]
        return DEFAULTS | settings
    except DAMAGED as error:
        raise InputError(f"{root}: no dataset there: {SETTINGS} is missing or damaged ({brief(error)})") from error


class EpisodeChunks:
    """Rows of one task's episodes, in chunks, for one lane: what `replay/loader.py` reads.

    An epoch takes every segment once, in an order of its own, of which lane i of n takes every n-th. Where there are
    fewer segments than lanes, every lane reads them all and keeps every n-th row. Segments of a chunk are packed
    together, and its rows are shuffled: a chunk depends on its number, the seed and the lane alone.
    make_packer: from a seed.
    """

    damaged = 0  # of `replay.loader.Chunks`: damaged episodes are not skipped, they end the run

    def __init__(
        self,
        shards: list[Shard],
        tokenizer: TaskTokenizer,
        length: int,
        make_packer: Callable[[int], Packer],
        seed: int,
        lane: int = 0,
        lanes: int = 1,
    ) -> None:
        self._tokenizer, self._make_packer, self._seed = tokenizer, make_packer, seed
        self._parquets = [shard.parquet for shard in shards]
        self._segments = _segments(shards)
        count = len(self._segments)
        if not count:
            raise InputError(f"{tokenizer.spec.name}: the dataset holds no episode of it, all were dropped")
        self._share = (lane, lanes) if count >= lanes else (0, 1)
        self._rows_share = (0, 1) if count >= lanes else (lane, lanes)
        wanted = CHUNK_ROWS * length / min_step_tokens(tokenizer.spec, tokenizer.encoding)
        self._per_chunk = max(1, round(wanted / float(self._segments["steps"].mean())))
        first, step = self._share
        self._chunks = -(-len(range(first, count, step)) // self._per_chunk)

    def __call__(self, number: int) -> Sequences:
        """Chunk `number` ≥ 0; chunks go on over epochs without end. Raises InputError where a file is damaged."""
        epoch, index = divmod(number, self._chunks)
        (first, step), (kept, of) = self._share, self._rows_share
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._segments))[first::step]
        random = np.random.default_rng([self._seed, epoch, first, index])
        rows = self._pack(self._segments[order[index :: self._chunks]], int(random.integers(2**31)))
        shuffled = random.permutation(len(rows))
        # The running index over epochs, so that no lane is left without rows where an epoch has fewer than lanes.
        return take_sequences(rows, shuffled[(number + np.arange(len(rows))) % of == kept])

    def _pack(self, segments: np.ndarray, seed: int) -> Sequences:
        packer, pieces = self._make_packer(seed), self._read(segments)
        # Else the first rows of every chunk would be without prompts.
        packer.remember(len(pieces) - 1, pieces[-1], bool(segments["ends"][-1]))
        parts = [
            packer.add(steps, int(segment["version"]), bool(segment["ends"]))
            for steps, segment in zip(pieces, segments, strict=True)
        ]
        return join_sequences([part for part in [*parts, packer.flush()] if part is not None])

    def _read(self, segments: np.ndarray) -> list[StepTokens]:
        """Each segment's tokens. Those of one file are read together, and all are encoded at once."""
        tables, places, at = [], np.zeros(len(segments), np.int64), 0
        for shard in np.unique(segments["shard"]):
            (mine,) = np.nonzero(segments["shard"] == shard)
            groups = [group for i in mine for group in range(segments["group"][i], segments["end"][i])]
            tables.append(read_groups(self._parquets[shard], groups))
            lengths = segments["steps"][mine]
            places[mine] = at + np.cumsum(lengths) - lengths
            at += int(lengths.sum())
        try:
            everything = self._tokenizer.encode(*decode_steps(self._tokenizer.spec, pa.concat_tables(tables)))
        except (*DAMAGED, pa.ArrowException) as error:
            names = ", ".join(str(self._parquets[shard]) for shard in np.unique(segments["shard"]))
            raise InputError(f"{names}: its steps are not its task's: {brief(error)}") from error
        return [
            everything.take(slice(place, place + steps)) for place, steps in zip(places, segments["steps"], strict=True)
        ]


def _segments(shards: list[Shard]) -> np.ndarray:
    """Every cut of at most `SEGMENT` groups of an episode. ends: whether it is the episode's last."""
    fields = [("shard", np.int32), ("group", np.int32), ("end", np.int32), ("steps", np.int32), ("ends", np.bool_)]
    found = []
    for number, shard in enumerate(shards):
        for entry in shard.manifest.entries:
            for group in range(entry.first_group, entry.end_group, SEGMENT):
                end = min(group + SEGMENT, entry.end_group)
                before, ends = (group - entry.first_group) * GROUP, end == entry.end_group
                steps = min(entry.steps - before, SEGMENT * GROUP)
                found.append((number, group, end, steps, ends, entry.provenance.weights_version))
    return np.array(found, [*fields, ("version", np.int32)])
