"""Errors that the user can fix. The command line prints them as one line and exits with code 2."""

# What reading a damaged or malicious file can raise, for example by too deep nesting or huge numbers.
READ_ERRORS = (
    OSError, ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError, RuntimeError,
    MemoryError,
)  # fmt: skip
MAX_ERROR_LENGTH = 200  # characters that are quoted of a library's message


class InputError(Exception):
    """The user's input is wrong. The message is one line: the key or file, what is wrong, and what would be right."""


class DamagedDocument(InputError):
    """One document of many is damaged. The message names the file and the position. Corpora can skip such documents."""


class InvalidStepError(InputError):
    """A step of an environment holds a value that the task does not allow.

    A command ends with this error as with any InputError. A run restarts the actor, because even good simulators become
    unstable now and then; the task is quarantined if that does not help.
    """


def brief(error: BaseException, limit: int | None = MAX_ERROR_LENGTH) -> str:
    """Returns a library's error message on one line, or the error's type if it has no message.

    Args:
        error: the error.
        limit: maximum number of characters; None: no maximum.
    """
    message = " ".join(str(error).split())
    return message[:limit] or type(error).__name__
