"""Runs the project on bad input. The right outcome is a one-line error, or a result if the input was valid after all."""

import contextlib
import io
import os
import pickle
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gato_dist.cli.main import main
from gato_dist.errors import InputError

SECONDS = 30  # for one input; far more than any takes
REFUSED, TAKEN = "refused", "taken"
WRITES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod")
RUNS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile")
# Paths that may be written while input is read: caches of compiled modules and fonts, devices.
HARMLESS = ("/dev/", "/proc/")


class Executed:
    """An object whose unpickling creates a file, which shows that something was unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


@dataclass
class Watch:
    """Records forbidden actions of this process from Python's audit events. root: the folder it may write to."""

    root: str = ""
    seen: list[str] = field(default_factory=list)

    def __call__(self, event: str, arguments: tuple) -> None:
        if not self.root:
            return
        if event == "open":
            path, mode, flags = arguments
            writes = (
                (flags or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
                if not isinstance(mode, str)
                else set(mode) & set("wax+")
            )
            if writes and isinstance(path, str | bytes):
                self._path(event, path)
        elif event in WRITES:
            for path in arguments[: 2 if event in ("os.rename", "os.link") else 1]:
                if isinstance(path, str | bytes | os.PathLike):
                    self._path(event, os.fspath(path))
        elif event in RUNS or (event == "pickle.find_class"):
            self.seen.append(f"{event} {str(arguments)[:100]}")
        elif event == "socket.connect":
            self.seen.append(f"{event} {arguments[1]}")

    def _path(self, event: str, path: str | bytes) -> None:
        whole = os.path.realpath(os.fsdecode(path))
        if not whole.startswith((self.root, *HARMLESS)) and "__pycache__" not in whole:
            self.seen.append(f"{event} {whole}")


WATCH = Watch()
_hooked = False


@dataclass(frozen=True)
class Failure:
    """kind: of input. what: hang, traceback, exit code, escape or execution. trace: where, as text."""

    kind: str
    what: str
    trace: str

    @property
    def place(self) -> str:
        """The innermost line of the project in the traceback, which distinguishes bugs."""
        ours = [
            line.strip()
            for line in self.trace.splitlines()
            if "/gato_dist/" in line or "/replay/" in line or "/learner/" in line
        ]
        return ours[-1] if ours else self.trace.strip()[-200:]


@dataclass
class Tally:
    """Counts of outcomes by kind of input, and all failures."""

    outcomes: dict[str, Counter] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(sum(each.values()) for each in self.outcomes.values())

    def line(self, kind: str) -> str:
        each = self.outcomes[kind]
        wrong = self.count_of(kind) - each[REFUSED] - each[TAKEN]
        return (
            f"{kind:18} {self.count_of(kind):7} {each[REFUSED]:8} {each[TAKEN]:7} {wrong:6} {self.seconds[kind]:8.0f}"
        )

    def count_of(self, kind: str) -> int:
        return sum(self.outcomes.get(kind, Counter()).values())


HEAD = f"{'kind':18} {'inputs':>7} {'refused':>8} {'taken':>7} {'wrong':>6} {'seconds':>8}"


def try_input(kind: str, act: Callable[[], None], folder: Path, tally: Tally) -> None:
    """Runs `act` in `folder`, records forbidden actions, and counts the outcome."""
    global _hooked
    if not _hooked:
        sys.addaudithook(WATCH)
        _hooked = True
    outcomes = tally.outcomes.setdefault(kind, Counter())
    before, trace, outcome = os.getcwd(), "", TAKEN
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    WATCH.root, WATCH.seen = os.path.realpath(folder), []
    try:
        with _limit(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            act()
    except InputError:
        outcome = REFUSED
    except BaseException as error:  # what a user would see as a traceback, a wrong exit code, or nothing at all
        if isinstance(error, KeyboardInterrupt):
            raise
        trace = "".join(traceback.format_exception(error))
        outcome = type(error).__name__
    finally:
        WATCH.root = ""
        os.chdir(before)
        tempfile.tempdir = None
    if WATCH.seen:
        outcome, trace = "escaped", "\n".join(WATCH.seen)
    if (folder.parent / "executed").exists():
        outcome, trace = "executed", "something was unpickled"
        (folder.parent / "executed").unlink()
    if outcome in (REFUSED, TAKEN):
        outcomes[outcome] += 1
    else:
        outcomes["wrong"] += 1
        failure = Failure(kind, outcome, trace)
        if (failure.what, failure.place) not in {(each.what, each.place) for each in tally.failures}:
            tail = "\n".join(trace.strip().splitlines()[-3:])
            print(f"{kind}: {outcome} at {failure.place}\n{tail[:600]}", flush=True)
        tally.failures.append(failure)


def command(*words: str) -> None:
    """Runs `gato-dist` in this process. Raises InputError if it exits with 2, RuntimeError for other failures."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            code = main(list(words))
        except SystemExit as end:
            code = end.code
    if code == 2:
        if "Traceback" in said.getvalue() or not said.getvalue().strip():
            raise RuntimeError(f"exit code 2, but said: {said.getvalue()!r}")
        raise InputError(said.getvalue())
    if code != 0:
        raise RuntimeError(f"exit code {code}: {said.getvalue()}")


def hostile_pickle(folder: Path) -> bytes:
    return pickle.dumps(Executed(folder.parent / "executed"))


@contextlib.contextmanager
def _limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError(f"no answer within {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
