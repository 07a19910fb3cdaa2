"""Episodes: the observations, actions and rewards of one policy in one task, with their provenance."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Values of an observation part in T steps: an array [T, *part shape], or T strings for text.
PartValues = NDArray[Any] | list[str]
Observations = dict[str, PartValues]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where an episode came from. The fields are enough to reproduce it.

    Attributes:
        task: name of the task.
        seed: seed of the environment.
        policy: name of the policy.
        policy_hash: content hash of the policy.
        episode: index among the episodes of the environment with this seed.
        weights_version: version of the Gato weights that acted; −1 for any other policy.
        versions: versions of the packages that matter, by name.
        wall_seconds: duration of the rollout.
        created: time of creation.
    """

    task: str
    seed: int
    policy: str
    policy_hash: str
    episode: int = 0
    weights_version: int = -1
    versions: dict[str, str] = field(default_factory=dict)
    wall_seconds: float = 0.0
    created: str = ""


@dataclass(frozen=True)
class Episode:
    """T steps with T observations and T actions. The observation after the last action is not kept.

    Attributes:
        observations: each part [T, *part shape], or T strings for text.
        actions: [T, *action shape], the actions that were taken.
        targets: [T, *action shape], the actions to be learned: what the expert would have done at each step.
        rewards: float32 [T].
        terminated: true if the task ended; false if the episode was truncated.
        success: whether the task reported success at any step; None if it does not report success.
        provenance: where the episode came from.
    """

    observations: Observations
    actions: NDArray[Any]
    targets: NDArray[Any]
    rewards: NDArray[np.float32]
    terminated: bool
    success: bool | None
    provenance: Provenance

    def __len__(self) -> int:
        return len(self.rewards)

    @property
    def episode_return(self) -> float:
        """Sum of the rewards, in float64 precision."""
        return float(np.sum(self.rewards, dtype=np.float64))

    @property
    def nbytes(self) -> int:
        """Bytes of the observations, without texts."""
        return sum(part.nbytes for part in self.observations.values() if isinstance(part, np.ndarray))


class EpisodeBatcher:
    """Collects episodes in groups, because encoding several episodes at once takes less time."""

    def __init__(self, size: int = 1 << 20, seconds: float = 0.1) -> None:
        """Makes an empty batcher.

        Args:
            size: bytes after which a group is complete. A megabyte fits into a processor's cache.
            seconds: time after which an incomplete group is returned.
        """
        self._size, self._seconds = size, seconds
        self._waiting: list[Episode] = []
        self._held, self._since = 0, 0.0

    def add(self, episodes: list[Episode]) -> Iterator[list[Episode]]:
        """Adds episodes and yields the complete groups, in order.

        Call it regularly, even without new episodes, so that no group waits too long.
        """
        for episode in episodes:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(episode)
            self._held += episode.nbytes
            if self._held >= self._size:
                yield self._release()
        if self._waiting and time.monotonic() - self._since >= self._seconds:
            yield self._release()

    def _release(self) -> list[Episode]:
        group, self._waiting, self._held = self._waiting, [], 0
        return group


def join_steps(episodes: list[Episode]) -> tuple[Observations, NDArray[Any], NDArray[Any]]:
    """Concatenates the steps of several episodes of one task.

    Returns:
        Observations, actions and targets, each with T = the steps of all episodes.
    """
    if len(episodes) == 1:
        return episodes[0].observations, episodes[0].actions, episodes[0].targets
    observations: Observations = {}
    for name, part in episodes[0].observations.items():
        values = [episode.observations[name] for episode in episodes]
        observations[name] = list(chain.from_iterable(values)) if isinstance(part, list) else np.concatenate(values)
    actions, targets = (np.concatenate([getattr(each, name) for each in episodes]) for name in ("actions", "targets"))
    return observations, actions, targets
