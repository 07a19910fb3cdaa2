"""Sends weights in a background thread, so that training goes on meanwhile."""

import threading
from collections.abc import Callable

from gato_dist.ports import State

Send = Callable[[int, int, State, float], None]


class Publisher:
    """Sends one version at a time. A version that still waits is replaced by the next one.

    An error while sending is raised by the next `publish` or `wait`.
    """

    def __init__(self, send: Send) -> None:
        """Takes the transport.

        Args:
            send: sends version, learner step, weights and `time.time()` of the publication; returns once they arrived.
        """
        self._send = send
        self._changed = threading.Condition()
        self._waiting: tuple[int, int, State, float] | None = None
        self._busy = False
        self._error: BaseException | None = None

    def publish(self, version: int, step: int, weights: State, published: float) -> None:
        """Queues weights and returns at once. The arrays belong to the publisher from then on.

        Args:
            version: the weights version.
            step: the learner's step.
            weights: the arrays by name.
            published: `time.time()` of the publication.
        """
        with self._changed:
            self._raise_error()
            self._waiting = (version, step, weights, published)
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="publisher", daemon=True).start()

    def wait(self) -> None:
        """Waits until everything that was published has arrived."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._raise_error()

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._waiting is None or self._error is not None:
                    self._busy = False
                    self._changed.notify_all()
                    return
                taken, self._waiting = self._waiting, None
            try:
                self._send(*taken)
            except BaseException as error:
                with self._changed:
                    self._error = error
