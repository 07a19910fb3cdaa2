"""Episodes of the small tasks in `tests.support.fakes`, and their comparison."""

from pathlib import Path

import numpy as np

from gato_dist.episode import Episode, Provenance
from replay.dataset.dataset import Dataset
from replay.dataset.writing import EpisodeStream, write_dataset
from tests.support.fakes import ARM, BUTTONS, arm_actions, arm_observations


def episode(steps: int, seed: int) -> Episode:
    """An episode of ARM whose targets differ from its actions."""
    actions = arm_actions(steps, seed).astype(np.float32)
    return Episode(
        observations=arm_observations(steps, seed),
        actions=actions,
        targets=actions / 2,
        rewards=np.random.default_rng(seed).normal(size=steps).astype(np.float32),
        terminated=bool(seed % 2),
        success=None,
        provenance=Provenance(task="toy/arm", seed=seed, policy="fake", policy_hash="abc", versions={"numpy": "1"}),
    )


def arm(steps: int, seed: int) -> Episode:
    """An episode of ARM whose targets are its actions, as every format can store it."""
    made = episode(steps, seed)
    return Episode(
        observations=made.observations | {"pose": np.asarray(made.observations["pose"]).astype(np.float32)},
        actions=made.actions,
        targets=made.actions,
        rewards=made.rewards,
        terminated=made.terminated,
        success=None,
        provenance=made.provenance,
    )


def buttons(steps: int, seed: int) -> Episode:
    """An episode of BUTTONS that succeeds."""
    pressed = np.random.default_rng(seed).integers(3, size=steps)
    return Episode(
        observations={"light": pressed.astype(np.uint8)},
        actions=pressed,
        targets=pressed,
        rewards=np.ones(steps, np.float32),
        terminated=True,
        success=True,
        provenance=Provenance(task="toy/buttons", seed=seed, policy="fake", policy_hash="abc", weights_version=4),
    )


def same(one: Episode, other: Episode) -> bool:
    """Returns whether two episodes of ARM are equal."""
    arrays = all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("actions", "targets", "rewards"))
    parts = all(np.array_equal(one.observations[p.name], other.observations[p.name]) for p in ARM.observations)
    return arrays and parts and (one.terminated, one.provenance) == (other.terminated, other.provenance)


def toy_dataset(root: Path) -> Dataset:
    """Writes a dataset of 18 episodes of ARM and 3 of BUTTONS."""
    arms = EpisodeStream(ARM, [arm(3 + i % 5, i) for i in range(18)])
    write_dataset(root, [arms, EpisodeStream(BUTTONS, [buttons(7, i) for i in range(3)])], "fake", "by hand")
    return Dataset.open(root)


def episodes_of(dataset: Dataset, task: str) -> list[Episode]:
    """Reads all episodes of a task."""
    return [shard.episode(entry) for shard in dataset.shards[task] for entry in shard.manifest.entries]
