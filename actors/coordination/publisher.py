"""Weights on their way out of the learner: sent by a thread, so that training goes on meanwhile. Without Ray."""

import threading
from collections.abc import Callable

from gato_dist.ports import State

Send = Callable[[int, int, State, float], None]


class Publisher:
    """Sends one version at a time; one that still waits is replaced by what is published after it.

    send: takes version, step, weights and the time.time() at which they were published; returns once they are safe.
    What it raised is raised by the next `publish` or `wait`.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._changed = threading.Condition()
        self._waiting: tuple[int, int, State, float] | None = None
        self._busy = False
        self._error: BaseException | None = None

    def publish(self, version: int, step: int, weights: State, published: float) -> None:
        """Returns at once. The arrays are the publisher's from here on."""
        with self._changed:
            self._check()
            self._waiting = (version, step, weights, published)
            if not self._busy:
                self._busy = True
                threading.Thread(target=self._work, name="publisher", daemon=True).start()

    def wait(self) -> None:
        """Until all that was published is safe."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy)
            self._check()

    def _check(self) -> None:
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
