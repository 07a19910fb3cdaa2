"""Commands as a user without any right, whatever folders this machine's Python and checkout lie in.

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
FIRST_FILE = 10  # numbers of files that the shell holds open
DROP = (
    "setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
    "--no-new-privs", "--",
)  # fmt: skip


class OrdinaryUser:
    """home: a folder of its own, in which its commands run. Temporary files go where everybody's do."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = os.environ | {"HOME": str(home), "USER": NAME, "LOGNAME": NAME}
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "MPLCONFIGDIR"):
            self.environment.pop(name, None)

    def command(self, words: Sequence[str | Path]) -> list[str]:
        """What root runs for the user to run `words`."""
        needed = sorted({Path(path).resolve() for path in (sys.base_prefix, sys.prefix, ROOT, self.home)})
        lines = ["set -e", "umask 022", *_reveal(needed), f"cd {shlex.quote(str(self.home))}"]
        script = "; ".join([*lines, f"exec {shlex.join([*DROP, *map(str, words)])}"])
        return ["unshare", "--mount", "--propagation", "private", "bash", "-c", script]

    def start(self, *words: str | Path) -> subprocess.Popen[str]:
        """Starts `words`, with pipes for their input and for their output and errors together."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command(words), env=self.environment, text=True, **pipes)

    def run(self, *words: str | Path, timeout: float = 300.0) -> tuple[int, str]:
        """Runs `words` to their end; exit code, and output and errors together."""
        done = subprocess.run(
            self.command(words), env=self.environment, text=True, timeout=timeout,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done.returncode, done.stdout


def _reveal(needed: Sequence[Path]) -> list[str]:
    """Lines of shell that let everyone reach these folders."""
    closed = {path: ancestor for path in needed if (ancestor := _closed_ancestor(path))}
    held = {path: FIRST_FILE + number for number, path in enumerate(closed)}
    # An open folder stays within reach after another is mounted over the way to it.
    lines = [f"exec {file}< {shlex.quote(str(path))}" for path, file in held.items()]
    lines += [f"mount -t tmpfs -o mode=755 open {shlex.quote(each)}" for each in sorted(set(map(str, closed.values())))]
    for path, file in held.items():
        place = shlex.quote(str(path))
        lines += [f"mkdir -p {place}", f"mount -c --rbind /proc/self/fd/{file} {place}", f"exec {file}<&-"]
    return lines


def _closed_ancestor(path: Path) -> Path | None:
    """The first folder on the way to `path` that others may not enter."""
    return next((each for each in reversed(path.parents) if not each.stat().st_mode & 0o001), None)


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """A user with an empty home; skips the test, with the reason, if this process cannot become one."""
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
