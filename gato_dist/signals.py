"""SIGTERM ends a run as Ctrl-C does: with a checkpoint, and nothing left behind."""

import signal
from types import FrameType


def interrupt_on_terminate() -> None:
    """From here on SIGTERM raises KeyboardInterrupt. Call it again after what sets its own handler, as Ray does."""
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
