"""The learner's work in a live run: what each of its workers reads, and where it publishes."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle

from actors.ray_actors import RayHost, ReplayAddress, Reporter, guide
from gato_dist.config.run_config import RunConfig
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference
from gato_dist.sequence import Batch
from gato_dist.sources import Source, source_shares
from gato_dist.supervisor.planning import gato_sources, poll_interval_scale
from gato_dist.tokens.packing import sequence_shape
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint_folder import CheckpointFolder
from learner.parallel import worker_device
from learner.ray_train import leaves
from learner.train import train
from replay.corpora.corpus import open_corpora
from replay.disk_sources import disk_shares, disk_sources, open_beside
from replay.loader import Chunks
from replay.mixture import MixtureBatches, TaskStream
from replay.reverb.sampler import table_sequences
from replay.reverb.sharding import shard_of, shard_sequences
from replay.reverb.tables import table_name
from replay.reverb.writer import SequenceWriter
from replay.usage import Usage


def learn(
    config: RunConfig,
    tokenizer: Tokenizer,
    references: dict[str, Reference],
    places: list[ReplayAddress],
    root: Path,
    coordinator: ActorHandle,
    min_version: int,
    rank: int,
) -> None:
    """One learner worker's job: the circle's last arc, from replay to the coordinator."""
    import torch

    torch.set_num_threads(config.learner.threads)
    newest: Any = ray.get(coordinator.newest.remote())
    if newest is not None:
        # A worker that died has published more than its newest checkpoint knows of.
        min_version = max(min_version, newest.version)
    folder = RunFolder(root)
    usage = Usage(list(config.weights))
    streams = _streams(config, tokenizer, places, config.seed + min_version, rank, usage)
    poll_scale = poll_interval_scale(config)
    # Workers end together: one that asks often is enough, and those who stop a run wait for its last checkpoint.
    host, share = RayHost(coordinator, poll_scale if rank else 1.0), config.learner.batch // config.learner.workers
    mixture = MixtureBatches(
        streams,
        batch=share,
        tensor_size=tokenizer.tensor_size,
        seed=config.seed + 1009 * rank,
        source_shares=partial(source_shares, config.relabel),
        guide=guide(coordinator, poll_scale),
        usage=usage,
        patience=config.actors.hang_seconds,
    )
    batches = _counted(mixture, usage, Reporter(coordinator, f"mixture/{rank}", poll_scale=poll_scale))
    train(
        config,
        tokenizer,
        batches=batches,
        host=host,
        folder=CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints, references),
        device=worker_device(config.learner.gpu),
        min_version=min_version,
        is_preempted=leaves,
    )
    host.wait()
    if rank == 0:
        ray.get(coordinator.finish_learning.remote())


def _counted(batches: Iterable[Batch], usage: Usage, report: Reporter) -> Iterator[Batch]:
    """The same batches; what they were made of is told now and then."""
    for batch in batches:
        report(usage.metrics())
        yield batch


def _damaged(chunks: Chunks) -> int:
    return chunks.damaged


def open_writer(
    place: ReplayAddress, keep: int, task: str, source: Source, should_stop: Callable[[], bool]
) -> SequenceWriter:
    return SequenceWriter(place, table_name(task, source), should_stop, keep=keep)


def _streams(
    config: RunConfig, tokenizer: Tokenizer, places: list[ReplayAddress], seed: int, rank: int, usage: Usage
) -> list[TaskStream]:
    """Replay tables, what of the tasks comes from disk, and corpora."""
    dataset = open_beside(config, tokenizer)
    shares = disk_shares(config, dataset)
    streams = []
    for i, (task, share) in enumerate(zip(config.tasks, shares, strict=True)):
        shape = sequence_shape(tokenizer.tasks[task.name], config.tokens.length)
        if share < 1:
            blocks = shard_sequences(
                places,
                task.name,
                shape,
                task=i,
                copies=config.actors.copies,
                reader=rank,
                make_count_draws=usage.reader,
            )
            streams.append(TaskStream(i, task.weight * (1 - share), blocks))
        for source in gato_sources(config, task):
            # Where the first of the task's experts writes.
            place = places[shard_of(i, 0, config.actors.copies, len(places))]
            blocks = table_sequences(place, table_name(task.name, source), shape, count_draws=usage.reader())
            streams.append(TaskStream(i, task.weight, blocks, source))
    shares += [1.0] * len(config.corpora)
    for each in disk_sources(config, tokenizer, dataset, open_corpora(config), seed):
        chunks = each.open(lane=rank, lanes=config.learner.workers)
        if each.task >= len(config.tasks):
            usage.skips(each.task, partial(_damaged, chunks))
        streams.append(TaskStream(each.task, each.weight * shares[each.task], map(chunks, count())))
    return [stream for stream in streams if stream.weight]


def tell_death(coordinator: ActorHandle, line: str) -> None:
    """That a worker of the learner died, for the run's log."""
    coordinator.died.remote("learner", line)
