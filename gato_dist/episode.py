"""An episode: what one policy saw, did and was given in one life of one task."""

from dataclasses import dataclass, field

import numpy as np

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
