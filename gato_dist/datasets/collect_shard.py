"""Plays and writes one shard of a collection, in the process that runs the job."""

import time
from contextlib import closing
from dataclasses import dataclass, replace

from actors.experts.registry import make_demonstrator
from actors.rollout import episodes
from gato_dist.config.data_sections import TaskConfig
from gato_dist.datasets.collect_plan import EpisodeRange, ShardSummary
from gato_dist.envs.registry import task_spec
from gato_dist.episode import Episode
from gato_dist.evaluation.players import CheckpointRef, EvaluationOverrides, load_player
from gato_dist.seeds import dataset_seeds
from gato_dist.utils.file_names import task_file_name
from replay.dataset.shards import DroppedEpisode, Manifest, write_shard
from replay.dataset.storage import Location

POLICY_HASH_LENGTH = 16


@dataclass(frozen=True, kw_only=True)
class ShardJob:
    """A shard that is to be played.

    Attributes:
        root: the dataset's folder.
        config: the task and its expert.
        checkpoint: a checkpoint that plays instead of the expert, if any.
        seed: the collection's seed.
        episodes: which episodes of the task.
        min_return: return below which an episode is dropped, if any.
    """

    root: Location
    config: TaskConfig
    checkpoint: CheckpointRef | None
    seed: int
    episodes: EpisodeRange
    min_return: float | None

    @property
    def task(self) -> str:
        """The task's name."""
        return self.config.name

    def __str__(self) -> str:
        return f"{self.task}, episodes {self.episodes.first} to {self.episodes.first + self.episodes.count - 1}"


@dataclass(frozen=True)
class ShardResult:
    """The shard that exists now, and the seconds that it took to play and write."""

    shard: ShardSummary
    seconds: float


def make_shard(job: ShardJob) -> ShardResult:
    """Plays and writes one shard.

    Raises:
        InputError: as `make_demonstrator` and `load_player`.
        OSError: if the shard cannot be written.
    """
    start = time.monotonic()
    first, count = job.episodes.first, job.episodes.count
    path = job.root / task_file_name(job.task) / f"{first:06d}"
    seeds = dataset_seeds(first, count, job.seed)
    by_seed = {episode.provenance.seed: episode for episode in _play(job, seeds)}
    played = {first + i: by_seed[seed] for i, seed in enumerate(seeds)}
    dropped = {i for i, episode in played.items() if _is_dropped(episode, job.min_return)}
    kept = {i: episode for i, episode in played.items() if i not in dropped}
    manifest_path = path.with_suffix(".json")
    if manifest_path.exists():
        # Another collection into this folder has written the shard in the meantime. It stays.
        manifest = Manifest.load(manifest_path)
    else:
        rejected = [DroppedEpisode(i, played[i].episode_return) for i in sorted(dropped)]
        manifest = write_shard(path, task_spec(job.task), kept, rejected)
    return ShardResult(ShardSummary.of(manifest), time.monotonic() - start)


def _is_dropped(episode: Episode, min_return: float | None) -> bool:
    # A return that is not a number is dropped too.
    return min_return is not None and not episode.episode_return >= min_return


def _play(job: ShardJob, seeds: list[int]) -> list[Episode]:
    """The first episode of each seed, by the checkpoint or by the task's expert."""
    if job.checkpoint is None:
        demonstrator = make_demonstrator(job.config, seeds, 1)
        with closing(demonstrator.env) as env:
            return list(episodes(env, demonstrator.policy, demonstrator.provenance(), once=True))
    # Another number of threads rounds sums otherwise, which now and then changes an action.
    player = load_player(job.checkpoint, EvaluationOverrides(threads=1))
    # The checkpoint's content decides how it acts, and is its hash in every episode.
    policy_hash = job.checkpoint.content_hash[:POLICY_HASH_LENGTH]
    return [
        replace(episode, provenance=replace(episode.provenance, policy_hash=policy_hash))
        for episode in player.play(job.task, seeds)
    ]
