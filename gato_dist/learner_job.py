"""The learner's work in a live run: what each of its workers reads, and where it publishes."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

from actors.ray_actors import RayHost, ReplayPlace, Reporter, guide
from gato_dist.config import RunConfig
from gato_dist.disk import disk_shares, disk_sources, open_beside
from gato_dist.pace import board_stretch
from gato_dist.relabelling import gato_sources
from gato_dist.run_folder import RunFolder
from gato_dist.scores import Reference
from gato_dist.sequence import Batch
from gato_dist.sources import Source, source_shares
from gato_dist.tokens.packing import row_shape
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint_folder import CheckpointFolder
from learner.parallel import own_device
from learner.ray_train import leaves
from learner.train import train
from replay.corpora.chunks import CorpusChunks, open_corpora
from replay.mixture import MixtureBatches, Stream
from replay.sampler import table_rows
from replay.shards import shard_of, shard_rows
from replay.tables import table_name
from replay.usage import Usage
from replay.writer import RowWriter


def learn(
    config: RunConfig,
    tokenizer: Tokenizer,
    references: dict[str, Reference],
    places: list[ReplayPlace],
    root: Path,
    board: ActorHandle,
    min_version: int,
    rank: int,
) -> None:
    """One learner worker's job: the circle's last arc, from replay to the board."""
    import torch

    torch.set_num_threads(config.learner.threads)
    newest: Any = ray.get(board.newest.remote())
    if newest is not None:
        # A worker that died has published more than its newest checkpoint knows of.
        min_version = max(min_version, newest.version)
    folder = RunFolder(root)
    usage = Usage(list(config.weights))
    streams = _streams(config, tokenizer, places, config.seed + min_version, rank, usage)
    stretch = board_stretch(config)
    # Workers end together: one that asks often is enough, and those who stop a run wait for its last checkpoint.
    host, share = RayHost(board, stretch if rank else 1.0), config.learner.batch // config.learner.workers
    mixture = MixtureBatches(
        streams, share, tokenizer.tensor_size, config.seed + 1009 * rank,
        partial(source_shares, config.relabel), guide(board, stretch), usage, config.actors.hang_seconds,
    )  # fmt: skip
    batches = _counted(mixture, usage, Reporter(board, f"mixture/{rank}", stretch=stretch))
    train(
        config,
        tokenizer,
        batches,
        host,
        CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints, references),
        own_device(config.learner.gpu),
        min_version,
        leaves=leaves,
    )
    host.wait()
    if rank == 0:
        ray.get(board.finish_learning.remote())


def _counted(batches: Iterable[Batch], usage: Usage, report: Reporter) -> Iterator[Batch]:
    """The same batches; what they were made of is told now and then."""
    for batch in batches:
        report(usage.figures())
        yield batch


def open_writer(place: ReplayPlace, keep: int, task: str, source: Source, should_stop: Callable[[], bool]) -> RowWriter:
    return RowWriter(place, table_name(task, source), should_stop, keep=keep)


def _streams(
    config: RunConfig, tokenizer: Tokenizer, places: list[ReplayPlace], seed: int, rank: int, usage: Usage
) -> list[Stream]:
    """Replay tables, what of the tasks comes from disk, and corpora."""
    dataset = open_beside(config, tokenizer)
    shares = disk_shares(config, dataset)
    streams = []
    for i, (task, share) in enumerate(zip(config.tasks, shares, strict=True)):
        shape = row_shape(tokenizer.tasks[task.name], config.tokens.length)
        if share < 1:
            rows = shard_rows(places, i, task.name, shape, config.actors.copies, rank, usage.reader)
            streams.append(Stream(i, task.weight * (1 - share), rows))
        for source in gato_sources(config, task):
            # Where the first of the task's experts writes.
            place = places[shard_of(i, 0, config.actors.copies, len(places))]
            rows = table_rows(place, table_name(task.name, source), shape, drawn=usage.reader())
            streams.append(Stream(i, task.weight, rows, source))
    shares += [1.0] * len(config.corpora)
    for each in disk_sources(config, tokenizer, dataset, open_corpora(config), seed):
        chunks = each.open(rank, config.learner.workers)
        if isinstance(chunks, CorpusChunks):
            usage.skips(each.task, partial(getattr, chunks, "damaged"))
        streams.append(Stream(each.task, each.weight * shares[each.task], map(chunks, count())))
    return [stream for stream in streams if stream.weight]


def tell_death(board: ActorHandle, line: str) -> None:
    """That a worker of the learner died, for the run's log."""
    board.died.remote("learner", line)
