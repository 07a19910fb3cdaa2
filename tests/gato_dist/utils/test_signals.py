"""Interrupts that arrive inside code that swallows exceptions."""

import os
import signal

import pytest

from gato_dist.utils.signals import Interrupt


class Swallows:
    """Python drops exceptions that leave a destructor, as callbacks of C++ libraries do."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self._number)
        for _ in range(1000):
            pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_survives_a_callback_that_swallows_exceptions(number):
    with Interrupt() as interrupt:
        interrupt.check()
        Swallows(number)
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()


def test_a_second_interrupt_raises_at_once_and_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before
