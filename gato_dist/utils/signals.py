"""Ctrl-C and SIGTERM: they end a run cleanly, with a checkpoint, at any moment."""

import signal
from types import FrameType, TracebackType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def interrupt_on_terminate() -> None:
    """Makes SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Interrupt:
    """A context that records the first Ctrl-C or SIGTERM, for `check` to raise; a second one raises at once.

    A handler that raises at once would do so at any point of the code: inside a library's callback the exception might
    be swallowed, so that the run continues, or crash the process.

    Attributes:
        requested: whether a signal has arrived.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        self._previous = {number: signal.getsignal(number) for number in NUMBERS}
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Installs the handlers. Call it again after a library, such as Ray, has installed its own."""
        for number in NUMBERS:
            signal.signal(number, self._record)

    def check(self) -> None:
        """Raises KeyboardInterrupt if a signal has arrived."""
        if self.requested:
            raise KeyboardInterrupt

    def _record(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
