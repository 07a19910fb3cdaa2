"""One shard of a collection, played and written by whichever process is asked to."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from actors.evaluate import Evaluator
from actors.experts.demonstrator import policy_provenance
from actors.experts.registry import make_demonstrator
from actors.rollout import episodes
from gato_dist.config.sections import TaskConfig
from gato_dist.datasets.collect_plan import Block, Span
from gato_dist.envs.registry import make_env, task_spec
from gato_dist.episode import Episode
from gato_dist.model.gato import Gato
from gato_dist.seeds import dataset_seeds
from gato_dist.utils.file_names import task_file_name
from replay.dataset.episodes import Dropped, Manifest, write_shard
from replay.dataset.storage import Location


@dataclass(frozen=True)
class Job:
    """A shard to be played. checkpoint: Gato's, which plays in place of the task's expert.

    min_return: episodes below it are dropped.
    """

    root: Location
    task: TaskConfig
    checkpoint: str | None
    seed: int
    block: Block
    min_return: float | None

    def __str__(self) -> str:
        return f"{self.task.name}, episodes {self.block.first} to {self.block.first + self.block.count - 1}"


@dataclass(frozen=True)
class Made:
    """What is there now, and how long it took."""

    span: Span
    seconds: float


def make_shard(job: Job) -> Made:
    """Plays and writes one shard. Raises InputError as `make_expert`, OSError where it cannot be written."""
    began = time.monotonic()
    path = job.root / task_file_name(job.task.name) / f"{job.block.first:06d}"
    seeds = dataset_seeds(job.block.first, job.block.count, job.seed)
    by_seed = {episode.provenance.seed: episode for episode in _played(job, seeds)}
    played = {job.block.first + i: by_seed[seed] for i, seed in enumerate(seeds)}
    low = job.min_return
    dropped = [Dropped(i, each.episode_return) for i, each in played.items() if _too_low(each, low)]
    kept = {i: episode for i, episode in played.items() if not _too_low(episode, low)}
    manifest = path.with_suffix(".json")
    # Another collection into this folder may have been here; what is there stays.
    made = Manifest.load(manifest) if manifest.exists() else write_shard(path, task_spec(job.task.name), kept, dropped)
    return Made(Span.of(made), time.monotonic() - began)


def _too_low(episode: Episode, min_return: float | None) -> bool:
    return min_return is not None and not episode.episode_return >= min_return


def _played(job: Job, seeds: list[int]) -> Iterator[Episode]:
    """The first episode of each seed, as they end."""
    if job.checkpoint is None:
        made = make_demonstrator(job.task, seeds, 1)
        with closing(made.env):
            yield from episodes(made.env, made.policy, made.provenance(), once=True)
        return
    player = _player(job.checkpoint)
    name, version = job.task.name, player.version
    policy = player.evaluator.policy(player.model, name, seeds, version)
    # All that decides what it does stands in the checkpoint.
    source = replace(policy_provenance(name, policy, version), policy_hash=player.content)
    with closing(make_env(name, seeds)) as env:
        yield from episodes(env, policy, source, once=True)


@dataclass(frozen=True)
class _Player:
    evaluator: Evaluator
    model: Gato
    version: int
    content: str


@lru_cache(maxsize=1)
def _player(checkpoint: str) -> _Player:
    import torch

    from learner.checkpoint import content_hash, load_for_acting

    # The last digits of a sum, and now and then an action, depend on how many threads add it up.
    torch.set_num_threads(1)
    path = Path(checkpoint)
    config, tokenizer, model, counters = load_for_acting(path)
    return _Player(Evaluator(config, tokenizer), model, counters.weights_version, content_hash(path)[:16])
