"""Errors that are the user's to mend. The command line prints them as one line and exits with 2."""

# What reading a file may raise that was damaged, or made to do harm: nested too deep, or of numbers beyond all bounds.
DAMAGED = (
    OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError,
    MemoryError,
)  # fmt: skip
MOST_SAID = 200  # characters of what a library says


class InputError(Exception):
    """The user's input is wrong. The message is one line: the key or file, and what would be right."""


class DamagedDocument(InputError):
    """One document of many is damaged: the message names its file and place. Corpora may skip such documents."""


class PlayError(InputError):
    """A step that was played holds a value that the task's layout does not allow.

    A command ends with it as with any InputError. A run's actor is started again, and its task is quarantined if that
    does not help: a simulator of the best suite blows up now and then.
    """


def brief(error: BaseException) -> str:
    """What a library's error says, on a line that is not too long; its kind where it says nothing."""
    said = " ".join(str(error).split())
    return said[:MOST_SAID] or type(error).__name__
