"""Ctrl-C and SIGTERM: a run ends with a checkpoint and leaves nothing behind, whenever they come."""

import signal
from types import FrameType, TracebackType
from typing import Any

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def interrupt_on_terminate() -> None:
    """From here on SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Interrupt:
    """A context in which either signal is only noted, and raised where `check` is called; a second one raises at once.

    An exception raised by the handler itself would appear wherever the interpreter happens to be: inside a library's
    callback it may be swallowed, and the run goes on as if nobody had asked, or take the process down.
    """

    def __init__(self) -> None:
        self.requested = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interrupt":
        self._former = {number: signal.getsignal(number) for number in NUMBERS}
        self.listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def listen(self) -> None:
        """Call it again after what sets its own handlers, as Ray does."""
        for number in NUMBERS:
            signal.signal(number, self._note)

    def check(self) -> None:
        """Raises KeyboardInterrupt where a signal came."""
        if self.requested:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
