"""What the parts of the system ask of one another. Infrastructure implements these; `run.py` hands it in."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gato_dist.episode import Observations
from gato_dist.specs import TaskSpec

Info = dict[str, np.ndarray]
State = dict[str, np.ndarray]  # a model's weights by name


@dataclass
class TimeStep:
    """What N environments return at once: observations [N, ...], rewards float32 [N], flags bool [N].

    success: bool [N], None if no environment told of it in this step. info: what the environment says beside, arrays
    [N, ...].
    """

    observations: Observations
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    success: np.ndarray | None
    info: Info

    @property
    def done(self) -> np.ndarray:
        return self.terminated | self.truncated


class VectorEnv(Protocol):
    """N environments of one task, stepped together; environment i draws its worlds from `seeds[i]`.

    After a step with `done`, the next step of that environment ignores its action and returns the first
    observation of the next episode, with `done` false: it is no step of any episode.
    """

    spec: TaskSpec
    seeds: list[int]

    def reset(self) -> TimeStep:
        """A new episode in every environment; its first begins with the first world of its seed."""
        ...

    def step(self, actions: np.ndarray) -> TimeStep:
        """actions: [N, *action shape]."""
        ...

    def close(self) -> None: ...


class Policy(Protocol):
    """Acts in N environments at once."""

    def reset(self, env_ids: np.ndarray) -> None:
        """These environments begin a new episode with the next `act`."""
        ...

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Actions [N, *action shape] for observations [N, ...]; rows where `active` is false may hold anything."""
        ...

    def describe(self) -> dict[str, Any]:
        """JSON types: `name`, `kind` and whatever else decides its behaviour; their hash is its provenance."""
        ...


@runtime_checkable
class Labeller(Protocol):
    """A policy that also says what it would have done on someone else's rollout.

    One that follows its environments by the actions done there has a method `played(actions)` as well, and is told.
    One that may find nothing to do has `lost`, bool [N]: where it has not known what to say since the last reset.
    """

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Actions [N, *action shape] for observations [N, ...]; none of them is taken.

        Rows where `active` is false may hold anything.
        """
        ...


class LearnerHost(Protocol):
    """Where a learner worker publishes and asks: the rest of the system, as the learner sees it."""

    def publish(self, version: int, step: int, weights: State) -> None:
        """A new version of the weights, for actors; must not block. The arrays are the host's from here on."""
        ...

    def report(self, metrics: dict[str, float]) -> None:
        """Figures of the newest steps; must not block."""
        ...

    def saving(self, step: int) -> None:
        """A checkpoint of this step is being written: what belongs to it is to be saved now; must not block."""

    def note(self, message: str) -> None:
        """One line of news for whoever watches; must not block."""
        ...

    def should_stop(self) -> bool:
        """Whether the run was asked to end: the learner then writes a checkpoint and returns."""
        ...
