"""Errors that are the user's to mend. The command line prints them as one line and exits with 2."""


class InputError(Exception):
    """The user's input is wrong. The message is one line: the key or file, and what would be right."""
