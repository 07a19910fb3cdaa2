"""What each learner worker of a live run does: it reads replay, trains, and publishes to the coordinator."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import ray

from actors.coordination.link import CoordinatorLink, RayHost, ReplayAddress, Reporter, polled_guidance
from gato_dist.config.run_config import RunConfig
from gato_dist.sequence import Batch
from gato_dist.sources import source_shares
from gato_dist.supervisor.plan import RunPlan
from gato_dist.supervisor.planning import gato_sources
from gato_dist.telemetry import MixtureReport
from gato_dist.tokens.packing import sequence_shape
from gato_dist.tokens.tokenizer import Tokenizer
from learner import parallel
from learner.checkpoint_folder import CheckpointFolder
from learner.ray_train import preempted
from learner.train import train
from replay.corpora.corpus import open_corpora
from replay.dataset.dataset import Dataset
from replay.disk_sources import disk_shares, disk_sources, open_dataset
from replay.loader import Chunks
from replay.mixture import MixtureBatches, TaskStream
from replay.reverb.sampler import table_sequences
from replay.reverb.sharding import shard_of, shard_sequences
from replay.reverb.tables import table_name
from replay.usage import Usage

WORKER_SEED_STRIDE = 1009  # between the seeds of two workers


def learn(plan: RunPlan, addresses: list[ReplayAddress], link: CoordinatorLink, min_version: int) -> None:
    """Trains in one worker of a process group, until the run is done or was asked to end.

    Args:
        plan: of the run.
        addresses: of the replay servers.
        link: to the coordinator.
        min_version: the highest weights version that was published before this start.
    """
    import torch

    parallel.close_rendezvous_port()
    config, rank = plan.config, parallel.rank()
    torch.set_num_threads(config.learner.threads)
    newest: Any = ray.get(link.actor.newest_weights.remote())
    if newest is not None:
        # A worker that died may have published more versions than its newest checkpoint knows of.
        min_version = max(min_version, newest.version)
    # All workers end together, so one that asks often is enough.
    host = RayHost(link if rank else replace(link, interval_scale=1.0))
    checkpoints = CheckpointFolder(plan.folder.checkpoints, config.learner.keep_checkpoints, plan.references)
    train(
        config,
        plan.tokenizer,
        batches=_batches(config, plan.tokenizer, addresses, link, seed=config.seed + min_version),
        host=host,
        folder=checkpoints,
        device=parallel.worker_device(config.learner.gpu),
        min_version=min_version,
        is_preempted=preempted,
    )
    host.wait()
    if rank == 0:
        ray.get(link.actor.finish_learning.remote())


def _batches(
    config: RunConfig, tokenizer: Tokenizer, addresses: list[ReplayAddress], link: CoordinatorLink, *, seed: int
) -> Iterator[Batch]:
    """Returns this worker's share of every batch. seed: of the order of what comes from disk."""
    rank = parallel.rank()
    usage, dataset = Usage(list(config.weights)), open_dataset(config.tasks, config.data, tokenizer)
    shares = disk_shares(config.tasks, config.data, dataset)
    mixture = MixtureBatches(
        [
            *_replay_streams(config, tokenizer, shares=shares, addresses=addresses, usage=usage),
            *_disk_streams(config, tokenizer, shares=shares, dataset=dataset, seed=seed, usage=usage),
        ],
        batch=config.learner.batch // config.learner.workers,
        tensor_size=tokenizer.tensor_size,
        seed=config.seed + WORKER_SEED_STRIDE * rank,
        source_shares=partial(source_shares, config.relabel),
        guide=polled_guidance(link),
        usage=usage,
        patience=config.actors.hang_seconds,
    )
    return _reported(mixture, usage, Reporter(link), rank)


def _reported(batches: Iterable[Batch], usage: Usage, report: Reporter[MixtureReport], rank: int) -> Iterator[Batch]:
    """Yields the same batches, and reports what they were made of."""
    for batch in batches:
        report(MixtureReport(rank=rank, counts=usage.counts()))
        yield batch


def _replay_streams(
    config: RunConfig, tokenizer: Tokenizer, *, shares: list[float], addresses: list[ReplayAddress], usage: Usage
) -> list[TaskStream]:
    """Returns the streams of replay tables: what experts write, and what Gato actors write."""
    rank, copies = parallel.rank(), config.actors.copies
    streams = []
    for index, (task, share) in enumerate(zip(config.tasks, shares, strict=True)):
        shape = sequence_shape(tokenizer.tasks[task.name], config.tokens.length)
        if share < 1:
            demonstrations = shard_sequences(
                addresses,
                task.name,
                shape,
                task=index,
                copies=copies,
                reader=rank,
                make_count_draws=usage.count_reuse,
            )
            streams.append(TaskStream(index, task.weight * (1 - share), demonstrations))
        for source in gato_sources(config.relabel, task):
            # On the server that the first expert of the task writes to.
            address = addresses[shard_of(index, 0, copies, len(addresses))]
            played = table_sequences(address, table_name(task.name, source), shape, count_draws=usage.count_reuse())
            streams.append(TaskStream(index, task.weight, played, source))
    return streams


def _disk_streams(
    config: RunConfig, tokenizer: Tokenizer, *, shares: list[float], dataset: Dataset | None, seed: int, usage: Usage
) -> list[TaskStream]:
    """Returns the streams of a dataset and of corpora."""
    shares = shares + [1.0] * len(config.corpora)
    streams = []
    for each in disk_sources(config, tokenizer, dataset, open_corpora(config), seed=seed):
        chunks = each.open(lane=parallel.rank(), lanes=config.learner.workers)
        usage.count_damaged(each.task, chunks)
        streams.append(TaskStream(each.task, each.weight * shares[each.task], map(chunks, count())))
    return [stream for stream in streams if stream.weight]


def _damaged_documents(chunks: Chunks) -> int:
    return chunks.damaged
