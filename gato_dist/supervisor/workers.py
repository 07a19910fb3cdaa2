"""The actors of a run as its driver sees them: started, looked after, and started again."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorUnavailableError, OutOfMemoryError, RayActorError, RayError

from gato_dist.errors import InputError
from gato_dist.supervisor.quarantine import FORGET_SECONDS, Part
from gato_dist.supervisor.ray_init import last_line
from gato_dist.supervisor.resource_errors import NO_MEMORY
from gato_dist.utils.restarts import Deaths

UNAVAILABLE_SECONDS = 3.0  # an actor that is still coming back refuses its work sooner than that


@dataclass(eq=False)
class Worker:
    """An actor of a task, or an evaluator, and the arguments of its endless `run`.

    name: its own, which `run` takes first. source: under which it reports, or how that begins. make: such an actor,
    anew. work: the reference of what `run` returns.
    failures: of an evaluator that had no task to score.
    """

    name: str
    source: str
    part: Part
    task: str | None
    make: Callable[[], ActorHandle]
    arguments: dict[str, Any]
    actor: Any = None
    work: Any = None
    started: float = 0.0
    failures: Deaths = field(default_factory=partial(Deaths, FORGET_SECONDS))

    def start(self) -> None:
        """Starts it, or again where its process died: Ray has another one by then."""
        self.actor = self.actor or self.make()
        self.started = time.monotonic()
        self.work = self.actor.run.remote(self.name, **self.arguments)

    def trouble(self, silent: float, patience: float) -> str | None:
        """What it did wrong, once; it wants another `start` then. silent: seconds since it was heard of.

        Raises InputError for what the user can mend.
        """
        if not ray.wait([self.work], timeout=0)[0]:
            if silent <= patience:
                return None
            self.end()
            return f"hangs: it made no step for {silent:.0f} s"
        try:
            ray.get(self.work)
        except RayActorError as error:
            coming = isinstance(error, ActorUnavailableError) and time.monotonic() - self.started < UNAVAILABLE_SECONDS
            # Where its machine was taken away, no task is to blame.
            if not (coming or error.preempted):
                return "died"
        except OutOfMemoryError:
            return f"died: {NO_MEMORY}"
        except RayError as error:
            if (found := mendable(error)) is not None:
                raise found from error
            # A process whose environment raised an error may be in any state.
            self.end()
            return f"failed: {last_line(error)}"
        self.start()
        return None

    def end(self) -> None:
        """Kills it; `start` makes another."""
        if self.actor is not None:
            ray.kill(self.actor)
            self.actor = None


def mendable(error: BaseException) -> InputError | None:
    """The InputError behind an error that crossed processes, if there is one.

    Ray and Ray Train wrap errors differently, but all of them quote the traceback.
    """
    quoted = re.findall(r"^gato_dist\.errors\.InputError: (.+)$", str(error), re.MULTILINE)
    return InputError(quoted[-1]) if quoted else None
