"""The learner's work in a live run: what each of its workers reads, and where it publishes."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

from actors.coordination.link import CoordinatorLink, RayHost, ReplayAddress, Reporter, polled_guidance
from gato_dist.config.run_config import RunConfig
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference
from gato_dist.sequence import Batch
from gato_dist.sources import Source, source_shares
from gato_dist.supervisor.planning import gato_sources
from gato_dist.telemetry import MixtureReport
from gato_dist.tokens.packing import sequence_shape
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint_folder import CheckpointFolder
from learner.parallel import own_device
from learner.ray_train import leaves
from learner.train import train
from replay.corpora.chunks import open_corpora
from replay.disk_sources import disk_shares, disk_sources, open_beside
from replay.mixture import MixtureBatches, Stream
from replay.reverb.sampler import table_sequences
from replay.reverb.shards import shard_of, shard_sequences
from replay.reverb.tables import table_name
from replay.reverb.writer import SequenceWriter
from replay.usage import Usage


def learn(
    config: RunConfig,
    tokenizer: Tokenizer,
    references: dict[str, Reference],
    places: list[ReplayAddress],
    root: Path,
    link: CoordinatorLink,
    min_version: int,
    rank: int,
) -> None:
    """One learner worker's job: the circle's last arc, from replay to the coordinator."""
    import torch

    torch.set_num_threads(config.learner.threads)
    newest: Any = ray.get(link.actor.newest_weights.remote())
    if newest is not None:
        # A worker that died has published more than its newest checkpoint knows of.
        min_version = max(min_version, newest.version)
    folder = RunFolder(root)
    usage = Usage(list(config.weights))
    streams = _streams(config, tokenizer, places, config.seed + min_version, rank, usage)
    # Workers end together. The first one asks often, so that a run that is stopped ends soon.
    host = RayHost(link if rank else replace(link, interval_scale=1.0))
    share = config.learner.batch // config.learner.workers
    mixture = MixtureBatches(
        streams, share, tokenizer.tensor_size, config.seed + 1009 * rank,
        partial(source_shares, config.relabel), polled_guidance(link), usage, config.actors.hang_seconds,
    )  # fmt: skip
    batches = _counted(mixture, usage, Reporter(link), rank)
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
        ray.get(link.actor.finish_learning.remote())


def _counted(batches: Iterable[Batch], usage: Usage, report: Reporter[MixtureReport], rank: int) -> Iterator[Batch]:
    """The same batches; what they were made of is told now and then."""
    for batch in batches:
        report(MixtureReport(rank=rank, counts=usage.counts()))
        yield batch


def open_writer(
    place: ReplayAddress, keep: int, task: str, source: Source, should_stop: Callable[[], bool]
) -> SequenceWriter:
    return SequenceWriter(place, table_name(task, source), should_stop, keep=keep)


def _streams(
    config: RunConfig, tokenizer: Tokenizer, places: list[ReplayAddress], seed: int, rank: int, usage: Usage
) -> list[Stream]:
    """Replay tables, what of the tasks comes from disk, and corpora."""
    dataset = open_beside(config, tokenizer)
    shares = disk_shares(config, dataset)
    streams = []
    for i, (task, share) in enumerate(zip(config.tasks, shares, strict=True)):
        shape = sequence_shape(tokenizer.tasks[task.name], config.tokens.length)
        if share < 1:
            rows = shard_sequences(places, i, task.name, shape, config.actors.copies, rank, usage.count_reuse)
            streams.append(Stream(i, task.weight * (1 - share), rows))
        for source in gato_sources(config, task):
            # Where the first of the task's experts writes.
            place = places[shard_of(i, 0, config.actors.copies, len(places))]
            rows = table_sequences(place, table_name(task.name, source), shape, drawn=usage.count_reuse())
            streams.append(Stream(i, task.weight, rows, source))
    shares += [1.0] * len(config.corpora)
    for each in disk_sources(config, tokenizer, dataset, open_corpora(config), seed):
        chunks = each.open(rank, config.learner.workers)
        usage.count_damaged(each.task, chunks)
        streams.append(Stream(each.task, each.weight * shares[each.task], map(chunks, count())))
    return [stream for stream in streams if stream.weight]


def tell_death(coordinator: ActorHandle, line: str) -> None:
    """That a worker of the learner died, for the run's log."""
    coordinator.report_death.remote("learner", line)
