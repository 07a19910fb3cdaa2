"""The interfaces between the parts of the system. Each part gets implementations handed in, and imports only these."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from gato_dist.episode import Observations
from gato_dist.sequence import Sequences
from gato_dist.specs import TaskSpec
from gato_dist.telemetry import LearnerReport

Array = NDArray[Any]
Info = dict[str, Array]
State = dict[str, Array]  # a model's weights by name


@dataclass
class TimeStep:
    """What N environments return at once.

    Attributes:
        observations: the parts of the observation by name, each [N, ...].
        rewards: float32 [N].
        terminated: bool [N].
        truncated: bool [N].
        success: bool [N]; None if no environment reported success or failure in this step.
        info: further values of the environments, each [N, ...].
    """

    observations: Observations
    rewards: Array
    terminated: Array
    truncated: Array
    success: Array | None
    info: Info

    @property
    def done(self) -> Array:
        """Whether each episode ended: bool [N]."""
        done: Array = self.terminated | self.truncated
        return done


class VectorEnv(Protocol):
    """N environments of one task, stepped together.

    After a step with `done`, the next step of that environment ignores its action and returns the first observation
    of the next episode, with `done` false. That step belongs to no episode.

    Attributes:
        spec: the task's observations and actions.
        seeds: one seed per environment; it decides the environment's levels.
    """

    spec: TaskSpec
    seeds: list[int]

    def reset(self) -> TimeStep:
        """Begins a new episode in every environment. The first reset begins with the first level of each seed."""
        ...

    def step(self, actions: Array) -> TimeStep:
        """Steps every environment.

        Args:
            actions: [N, *action shape].
        """
        ...

    def close(self) -> None: ...


class Policy(ABC):
    """Acts in N environments at once. The methods that are not abstract have defaults that suit most policies."""

    @abstractmethod
    def reset(self, env_ids: Array) -> None:
        """Announces that these environments begin a new episode with the next `act`.

        Args:
            env_ids: indices of environments, int [M].
        """

    @abstractmethod
    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns actions [N, *action shape].

        Args:
            observations: the parts of the observation by name, each [N, ...].
            info: further values of the environments, each [N, ...].
            active: bool [N]. The actions of other environments are ignored.
        """

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Returns `name`, `kind` and everything else that decides the behaviour, as JSON types.

        The hash of the description is part of an episode's provenance.
        """

    def label(self, observations: Observations, active: Array) -> Array:
        """Returns the actions that this policy would take while another policy acts: [N, *action shape].

        `ExpertKind.labels` says which experts can label.

        Args:
            observations: the parts of the observation by name, each [N, ...].
            active: bool [N]. The labels of other environments are ignored.

        Raises:
            NotImplementedError: if the policy cannot label.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot label another policy's observations")

    def played(self, actions: Array) -> None:  # noqa: B027 (optional)
        """Announces the actions [N, *action shape] that were taken, if another policy decided them.

        Policies that follow their environments by actions override this.
        """

    def lost(self) -> Array | bool:
        """Returns in which environments the policy has not known what to do since the last reset.

        Returns:
            bool [N], or False if the policy always knows.
        """
        return False

    def targets(self, actions: Array) -> Array:
        """Returns the actions to learn from, given the actions that the last `act` returned.

        Returns:
            [N, *action shape]; `actions` itself unless the policy was disturbed or labelled.
        """
        return actions


class ReplayWriter(Protocol):
    """Writes sequences to one replay table."""

    def write(self, rows: Sequences | None) -> bool:
        """Writes sequences, and waits until the table has room.

        Args:
            rows: the sequences; None if there are none at the moment.

        Returns:
            False if the run ends meanwhile.
        """
        ...


# Opens the table of a task or of a source, given its name and whether to stop waiting for room.
OpenReplayWriter = Callable[[str, Callable[[], bool]], AbstractContextManager[ReplayWriter]]


class LearnerHost(Protocol):
    """The rest of the system as a learner worker sees it. No method may block."""

    def publish(self, version: int, step: int, weights: State) -> None:
        """Offers new weights to actors. The arrays belong to the host from then on."""
        ...

    def report(self, report: LearnerReport) -> None:
        """Reports the learner's progress."""
        ...

    def saving(self, step: int) -> None:
        """Announces that a checkpoint of this step is being written, so that replay is saved with it."""
        ...

    def note(self, message: str) -> None:
        """Shows a line to the user."""
        ...

    def should_stop(self) -> bool:
        """Returns whether the run was asked to end. The learner then writes a checkpoint and returns."""
        ...
