"""Locales that are not UTF-8: printing, and file names that native libraries can open.

Contents of files are UTF-8 in every locale. File names are passed to native libraries, which take them for UTF-8: in
another locale such a library would open another file than Python does.
"""

import io
import sys
from collections.abc import Mapping
from pathlib import Path

from gato_dist.errors import InputError


def make_stdout_lossy() -> None:
    """Makes stdout print a question mark for characters that its encoding lacks. (stderr escapes them already.)"""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def check_path_encoding(path: str | Path) -> None:
    """Checks that native libraries find a file under the same name as Python.

    Raises:
        InputError: if the name is not valid UTF-8, or is not ASCII and the locale is not UTF-8.
    """
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


def check_option_paths(options: Mapping[str, object]) -> None:
    """Checks the working directory and every path among a command's options.

    Raises:
        InputError: as `check_path_encoding`.
    """
    check_path_encoding(Path.cwd())
    for value in options.values():
        for path in value if isinstance(value, list) else [value]:
            if isinstance(path, Path):
                check_path_encoding(path)
