"""Argparse with this project's habits: groups of commands, one-line refusals, and `key=value` anywhere among flags."""

import argparse
from collections.abc import Callable
from typing import Any, NoReturn

# Runs one command with its options as keyword arguments. Returns the exit code; None stands for 0.
Handler = Callable[..., int | None]


class Parser(argparse.ArgumentParser):
    """An argument parser that refuses wrong input in one line, with exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Prints `gato-dist COMMAND: what is wrong (gato-dist COMMAND --help)` and exits with 2."""
        self.exit(2, f"{self.prog}: {message} ({self.prog} --help)\n")


class CommandGroup:
    """The commands below one name: `gato-dist`, or a group such as `gato-dist dataset`.

    Args:
        parser: the parser of that name.
        metavar: what a command is called in the help: COMMAND or ACTION.
    """

    def __init__(self, parser: Parser, metavar: str) -> None:
        self._commands = parser.add_subparsers(required=True, metavar=metavar)

    def add_command(self, name: str, handler: Handler, *, help: str) -> Parser:
        """Adds a command.

        Args:
            name: what users type.
            handler: the function that runs the command. Its keyword parameters are the names of the options.
            help: one sentence for the list of commands and for the top of the command's own help.

        Returns:
            The command's parser, to declare its options on.
        """
        parser: Parser = self._commands.add_parser(name, help=help, description=help)
        parser.set_defaults(handler=handler)
        return parser

    def add_group(self, name: str, *, help: str) -> "CommandGroup":
        """Adds a group of commands, such as `gato-dist dataset`.

        Args:
            name: what users type before the command.
            help: one sentence for the list of commands.
        """
        parser: Parser = self._commands.add_parser(name, help=help, description=help)
        return CommandGroup(parser, "ACTION")


def parse_command(parser: Parser, arguments: list[str] | None) -> tuple[Handler, dict[str, Any]]:
    """Parses a command line.

    Args:
        parser: the parser of `gato-dist`, with all commands.
        arguments: the command line without the program's name. None: `sys.argv[1:]`.

    Returns:
        The command's handler, and its options by name.

    Raises:
        SystemExit: with code 2 if the input is wrong, with code 0 after `--help`.
    """
    namespace, rest = parser.parse_known_args(arguments)
    options = vars(namespace)
    if rest:
        # By itself, argparse accepts no further `key=value` after a flag.
        if "overrides" not in options or not all(_is_override(argument) for argument in rest):
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        options["overrides"] = [*options["overrides"], *rest]
    handler: Handler = options.pop("handler")
    return handler, options


def _is_override(argument: str) -> bool:
    return "=" in argument and not argument.startswith("-")
