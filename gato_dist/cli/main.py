"""The command `gato-dist`. Exit codes: 0 done, 1 failed while running, 2 the user's input is wrong, 130 interrupted.

Argparse, not typer: typer declares neither `play [CHECKPOINT] TASK` nor `--input FILE FILE`, and offers no public way
to print a refusal as one line that names the command.
"""

import errno
import os
import sys

from gato_dist.cli import checkpoint, dataset, evaluation, experiment, experts, inspection, play, tokenizer, train
from gato_dist.cli.parser import CommandGroup, Parser, parse_command
from gato_dist.errors import InputError
from gato_dist.utils.locale_support import check_option_paths, make_stdout_lossy
from gato_dist.utils.signals import interrupt_on_terminate

# Errors of the operating system for paths that cannot exist: the user's mistake, in any argument.
INVALID_PATH = {errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR}


def main(arguments: list[str] | None = None) -> int:
    """Parses and runs one command. Every error is one line on stderr, without a traceback.

    Args:
        arguments: the command line without the program's name. None: `sys.argv[1:]`.

    Returns:
        The exit code.

    Raises:
        SystemExit: with code 2 if the command line cannot be parsed, with code 0 after `--help`.
    """
    # Torch and TensorFlow read this when they are imported.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    interrupt_on_terminate()
    make_stdout_lossy()
    handler, options = parse_command(make_parser(), arguments)
    try:
        check_option_paths(options)
        return handler(**options) or 0
    except InputError as error:
        return _fail(error, 2)
    except ModuleNotFoundError as error:
        return _fail(f"{error}; install it with: pip install 'gato-dist[live,suites]'", 2)
    except ImportError as error:  # the message names what to install, or a library that cannot be loaded
        return _fail(error, 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except OSError as error:
        return _fail(" ".join(str(error).split()), 2 if error.errno in INVALID_PATH else 1)
    except (RuntimeError, MemoryError) as error:
        return _fail(" ".join(str(error).split()), 1)


def make_parser() -> Parser:
    """Returns the parser of `gato-dist`, with all commands. Imports no heavy library."""
    parser = Parser(prog="gato-dist", description="Trains one transformer to act in many worlds.")
    commands = CommandGroup(parser, "COMMAND")
    for module in (train, evaluation, play, experts, dataset, checkpoint, experiment, tokenizer, inspection):
        module.add_commands(commands)
    return parser


def _fail(message: object, code: int) -> int:
    print(f"gato-dist: {message}", file=sys.stderr)
    return code
