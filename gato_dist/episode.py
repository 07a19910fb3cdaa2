"""An episode: what one policy saw, did and was given in one life of one task."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

GROUP_BYTES = 1 << 20  # of arrays that are worked on together: what stays in a processor's cache

# A part is an array [T, ...], or T strings for text.
Part = np.ndarray | list[str]
Observations = dict[str, Part]


@dataclass(frozen=True)
class Provenance:
    """Where an episode came from: enough to make it again."""

    task: str
    seed: int
    policy: str
    policy_hash: str
    episode: int = 0  # index among the episodes of that seed's environment
    weights_version: int = -1  # −1: the policy is no Gato
    versions: dict[str, str] = field(default_factory=dict)
    wall_seconds: float = 0.0
    created: str = ""


@dataclass(frozen=True)
class Episode:
    """T steps carry T observations and T actions; the observation after the last action is not kept.

    observations: per part [T, ...] (text: T strings); actions [T, *action shape]; rewards float32 [T].
    terminated: the task ended by itself; otherwise it was cut off (truncated).
    success: whether the task reported success at any step, None where it reports none.
    targets: like actions; what the policy would rather have done where something disturbed it: what is learned.
    """

    observations: Observations
    actions: np.ndarray
    targets: np.ndarray
    rewards: np.ndarray
    terminated: bool
    success: bool | None
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        return float(np.sum(self.rewards, dtype=np.float64))

    @property
    def nbytes(self) -> int:
        """Bytes of its observations' arrays."""
        return sum(part.nbytes for part in self.observations.values() if isinstance(part, np.ndarray))


def in_groups(episodes: list[Episode]) -> Iterator[list[Episode]]:
    """The episodes in order, as many together as GROUP_BYTES hold, one at the least."""
    group: list[Episode] = []
    held = 0
    for episode in episodes:
        if group and held + episode.nbytes > GROUP_BYTES:
            yield group
            group, held = [], 0
        group.append(episode)
        held += episode.nbytes
    if group:
        yield group


def join_steps(episodes: list[Episode]) -> tuple[Observations, np.ndarray]:
    """Observations and targets of episodes of one task, one behind the other."""
    if len(episodes) == 1:
        return episodes[0].observations, episodes[0].targets
    observations: Observations = {}
    for name, part in episodes[0].observations.items():
        parts = [episode.observations[name] for episode in episodes]
        observations[name] = list(chain.from_iterable(parts)) if isinstance(part, list) else np.concatenate(parts)
    return observations, np.concatenate([episode.targets for episode in episodes])
