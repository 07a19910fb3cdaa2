"""Runs commands as a user without privileges, even if Python and the checkout are in root's folders.

Root's home, where an interpreter may have been installed, is closed to other users. The command runs in a mount
namespace of its own, in which an empty folder that everyone may enter lies over each closed one, with what the command
needs bound back into it. Needs root, or nothing can be dropped.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.paths import ROOT

USER, GROUP, NAME = 65534, 65534, "nobody"
FIRST_FILE = 10  # first descriptor of the files that the shell holds open
DROP = (
    "setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
    "--no-new-privs", "--",
)  # fmt: skip


class OrdinaryUser:
    """A user without privileges. home: the user's folder, in which commands run."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = os.environ | {"HOME": str(home), "USER": NAME, "LOGNAME": NAME}
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "MPLCONFIGDIR"):
            self.environment.pop(name, None)

    def command(self, arguments: Sequence[str | Path]) -> list[str]:
        """Returns the command with which root runs `arguments` as the user."""
        needed = sorted({Path(path).resolve() for path in (sys.base_prefix, sys.prefix, ROOT, self.home)})
        lines = ["set -e", "umask 022", *_reveal(needed), f"cd {shlex.quote(str(self.home))}"]
        script = "; ".join([*lines, f"exec {shlex.join([*DROP, *map(str, arguments)])}"])
        return ["unshare", "--mount", "--propagation", "private", "bash", "-c", script]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Starts a command. Its input is a pipe; its output and errors share another pipe."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command(arguments), env=self.environment, text=True, **pipes)

    def run(self, *arguments: str | Path, timeout: float = 300.0) -> tuple[int, str]:
        """Runs a command. Returns its exit code, and its output and errors together."""
        done = subprocess.run(
            self.command(arguments), env=self.environment, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout


def _reveal(needed: Sequence[Path]) -> list[str]:
    """Returns shell commands that make these folders accessible to everyone."""
    closed = {path: ancestor for path in needed if (ancestor := _closed_ancestor(path))}
    held = {path: FIRST_FILE + number for number, path in enumerate(closed)}
    # An open folder stays accessible after another is mounted over one of its parents.
    lines = [f"exec {file}< {shlex.quote(str(path))}" for path, file in held.items()]
    lines += [f"mount -t tmpfs -o mode=755 open {shlex.quote(each)}" for each in sorted(set(map(str, closed.values())))]
    for path, file in held.items():
        place = shlex.quote(str(path))
        lines += [f"mkdir -p {place}", f"mount -c --rbind /proc/self/fd/{file} {place}", f"exec {file}<&-"]
    return lines


def _closed_ancestor(path: Path) -> Path | None:
    """Returns the topmost parent of `path` that other users may not enter."""
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Yields a user with an empty home. Skips the test if this process cannot become another user."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become an ordinary user")
    if absent := [word for word in ("unshare", "setpriv") if shutil.which(word) is None]:
        pytest.skip(f"needs {', '.join(absent)}: apt-get install util-linux")
    home = Path(tempfile.mkdtemp(prefix="gato-"))
    try:
        os.chown(home, USER, GROUP)
        user = OrdinaryUser(home)
        tried = subprocess.run(user.command(["true"]), capture_output=True, text=True)
        if tried.returncode:
            pytest.skip(f"cannot become an ordinary user: {tried.stderr.strip()}")
        yield user
    finally:
        shutil.rmtree(home, ignore_errors=True)
