"""Locales that are not UTF-8: what a terminal shows there, and which names files can have.

Every file's contents are UTF-8 whatever the locale. Names are passed to libraries written in other languages, which
take them for UTF-8: in another locale such a library would open another file than Python does.
"""

import io
import sys
from pathlib import Path

from gato_dist.errors import InputError


def replace_what_stdout_lacks() -> None:
    """Prints a question mark for a character that the encoding of stdout lacks; stderr escapes it by itself."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def check_name(path: str | Path) -> None:
    """Raises InputError if libraries would not find this file: its name is not UTF-8, or the locale says otherwise."""
    text = str(path)
    encoding = sys.getfilesystemencoding()
    if text.isascii():
        return
    if encoding != "utf-8":
        raise InputError(f"{text!a}: needs a UTF-8 locale, and names are {encoding} here; set LC_ALL=C.UTF-8")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{text!a}: this name is not UTF-8; give the file or folder another") from error


def check_names(options: dict[str, object]) -> None:
    """Checks the working directory and every path among a command's options. Raises InputError as `check_name`."""
    check_name(Path.cwd())
    for value in options.values():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                check_name(path)
