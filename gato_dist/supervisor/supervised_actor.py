"""One actor of a run as the supervisor sees it: started, watched and restarted."""

import time
from collections.abc import Callable
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError

from gato_dist.records.quarantine import Part
from gato_dist.supervisor.errors import OUT_OF_MEMORY, input_error, last_line
from gato_dist.supervisor.quarantine import FORGET_SECONDS
from gato_dist.utils.restarts import RecentFailures

UNAVAILABLE_SECONDS = 3.0  # an actor that Ray is still restarting refuses a call within this time


class SupervisedActor:
    """An expert, a Gato actor or an evaluator, and its endless call of `run`.

    Attributes:
        name: unique in the run; the first argument of `run`.
        source: the name under which the actor reports metrics, or a prefix of it.
        part: what the actor does.
        task: the task that it plays; None for an evaluator, which takes turns.
        failures: of an evaluator while it had no task to score.
    """

    def __init__(
        self,
        *,
        name: str,
        source: str,
        part: Part,
        task: str | None,
        make: Callable[[], ActorHandle],
        arguments: dict[str, Any],
    ) -> None:
        """Starts the actor.

        Args:
            name: see the class.
            source: see the class.
            part: see the class.
            task: see the class.
            make: starts the actor's process.
            arguments: keyword arguments of `run`.
        """
        self.name, self.source, self.part, self.task = name, source, part, task
        self.failures = RecentFailures(FORGET_SECONDS)
        self._make, self._arguments = make, arguments
        self._actor: ActorHandle | None = None
        self.start()

    def start(self) -> None:
        """Calls `run` again: in a new process if this one was killed, else in the one that Ray restarted."""
        if self._actor is None:
            self._actor = self._make()
        self._started = time.monotonic()
        self._run: Any = self._actor.run.remote(self.name, **self._arguments)

    def failure(self, silent_seconds: float, patience: float) -> str | None:
        """Returns how the actor failed, such as "died"; None if it works. After a failure it waits for `start`.

        Args:
            silent_seconds: since the actor last reported.
            patience: seconds of silence after which it counts as hanging.

        Raises:
            InputError: if the actor raised one.
        """
        if not ray.wait([self._run], timeout=0)[0]:
            if silent_seconds <= patience:
                return None
            self.kill()
            return f"hangs: it made no step for {silent_seconds:.0f} s"
        try:
            ray.get(self._run)
        except RayActorError as error:
            restarting = (
                isinstance(error, ActorUnavailableError) and time.monotonic() - self._started < UNAVAILABLE_SECONDS
            )
            # If its machine was taken away, the task is not to blame.
            if not (restarting or error.preempted):
                return "died"
        except OutOfMemoryError:
            return f"died: {OUT_OF_MEMORY}"
        except RayError as error:
            if (refused := input_error(error)) is not None:
                raise refused from error
            # After an error, the environment in this process may be in any state.
            self.kill()
            return f"failed: {last_line(error)}"
        self.start()
        return None

    def kill(self) -> None:
        """Ends the process. The next `start` makes another one."""
        if self._actor is not None:
            ray.kill(self._actor)
            self._actor = None
