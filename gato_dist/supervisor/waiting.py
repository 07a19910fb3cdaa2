"""Starts Ray actors, and waits for their answers without ignoring Ctrl-C."""

import time
from dataclasses import dataclass
from typing import Any, cast

import ray
from ray.actor import ActorClass, ActorHandle
from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

from gato_dist.supervisor.errors import RunFailed, explain, input_error
from gato_dist.utils.signals import Interrupt

ANSWER_SECONDS = 120.0


def start_actor(actor_class: type, *arguments: Any, **options: Any) -> ActorHandle:
    """Starts an actor; type checkers do not see what `@ray.remote` makes of a class.

    Args:
        actor_class: a class under `@ray.remote`.
        arguments: of its constructor.
        options: of Ray, such as num_cpus.
    """
    return cast(ActorHandle, cast(ActorClass, actor_class).options(**options).remote(*arguments))


@dataclass(frozen=True)
class Waiter:
    """Waits for answers of other processes, until the user interrupts the run."""

    interrupt: Interrupt

    def get(self, reference: Any, seconds: float = ANSWER_SECONDS) -> Any:
        """Returns the value behind an object reference.

        Raises:
            InputError: if the other process raised one.
            RunFailed: if the other process failed otherwise, or there was no answer within `seconds`.
            KeyboardInterrupt: if the run was interrupted meanwhile.
        """
        until = time.monotonic() + seconds
        while not ray.wait([reference], timeout=0.2)[0] and time.monotonic() < until:
            self.interrupt.check()
        try:
            return ray.get(reference, timeout=0)
        except (RayTaskError, RayActorError) as error:
            raise input_error(error) or RunFailed(explain(error)) from error
        except GetTimeoutError as error:
            raise RunFailed(
                f"no answer from replay in {seconds:.0f} s: is there a node that offers what it reserves?"
            ) from error
