"""An episode: what one policy saw, did and was given in one life of one task."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np

# A part is an array [T, ...], or T strings for text.
Part = np.ndarray | list[str]
Observations = dict[str, Part]


@dataclass(frozen=True, kw_only=True)
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
    targets: like actions; what the expert would have done at each step, whoever acted there: what is learned.
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


class Gathering:
    """Episodes that wait for others, because what is done to many at once takes less time.

    They wait until they hold `size` bytes, or for `seconds` at the most.
    """

    def __init__(self, size: int = 1 << 20, seconds: float = 0.1) -> None:
        # A megabyte stays in a processor's cache while it is worked on.
        self._size, self._seconds = size, seconds
        self._waiting: list[Episode] = []
        self._held, self._since = 0, 0.0

    def add(self, episodes: list[Episode]) -> Iterator[list[Episode]]:
        """The groups that have waited enough, in order. Call it even when no episode ended."""
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


def join_steps(episodes: list[Episode]) -> tuple[Observations, np.ndarray, np.ndarray]:
    """Observations, actions and targets of episodes of one task, one behind the other."""
    if len(episodes) == 1:
        return episodes[0].observations, episodes[0].actions, episodes[0].targets
    observations: Observations = {}
    for name, part in episodes[0].observations.items():
        parts = [episode.observations[name] for episode in episodes]
        observations[name] = list(chain.from_iterable(parts)) if isinstance(part, list) else np.concatenate(parts)
    actions, targets = (np.concatenate([getattr(each, name) for each in episodes]) for name in ("actions", "targets"))
    return observations, actions, targets
