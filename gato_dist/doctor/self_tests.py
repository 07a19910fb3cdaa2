"""Doctor's self-tests: a few steps in every suite, and one sequence through Reverb.

Each runs in its own process, so that a crash or a hang becomes one finding and the others go on.
`python -m gato_dist.doctor.self_tests TASK|reverb` is such a process. Its last line is its result.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from gato_dist.doctor.finding import Check, Finding
from gato_dist.tasks import task_table
from gato_dist.utils.missing_packages import reverb_advice

TIMEOUT_SECONDS = 90.0  # on a busy machine; a suite takes a few seconds
STEPS = 20
REVERB = "reverb"
FAILED, PACKAGE_MISSING = 1, 3  # exit codes of a self-test's process
MAX_MESSAGE = 200  # characters


@dataclass(frozen=True)
class Outcome:
    """How a self-test ended.

    Attributes:
        passed: whether it passed.
        message: its result, or why it failed.
        package_missing: whether it failed because a package cannot be imported.
    """

    passed: bool
    message: str
    package_missing: bool = False


def make_self_tests() -> list[Check]:
    """Returns the self-test of Reverb, and one of the first task of every suite."""
    suites = [Check(suite, partial(check_suite, suite, task)) for suite, task in first_tasks().items()]
    return [Check("Reverb", check_reverb), *suites]


def first_tasks() -> dict[str, str]:
    """Returns the first listed task of every suite, by suite."""
    tasks: dict[str, str] = {}
    for name, entry in task_table().items():
        tasks.setdefault(entry.suite, name)
    return tasks


def check_suite(suite: str, task: str) -> Finding:
    """Plays a few steps of a task."""
    outcome = run_in_process(task, TIMEOUT_SECONDS)
    found = f"{task}: {outcome.message}"
    if outcome.passed:
        return Finding(suite, "ok", found)
    return Finding(suite, "warning", found, "leave out its tasks, or try: pip install 'gato-dist[suites]'")


def check_reverb() -> Finding:
    """Writes a sequence to a replay server and reads it back."""
    outcome = run_in_process(REVERB, TIMEOUT_SECONDS)
    if outcome.passed:
        return Finding("Reverb", "ok", outcome.message)
    broken = "it is installed, but does not work here; train from a dataset with --data instead"
    return Finding("Reverb", "problem", outcome.message, reverb_advice() if outcome.package_missing else broken)


def run_in_process(name: str, seconds: float) -> Outcome:
    """Runs a self-test in its own process.

    Args:
        name: a task's name, or `reverb`.
        seconds: time limit.
    """
    command = [sys.executable, "-m", "gato_dist.doctor.self_tests", name]
    quiet = {
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONIOENCODING": "utf-8",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", errors="replace", env=os.environ | quiet, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        return Outcome(False, f"gave no answer within {seconds:.0f} s")
    finally:
        # Together with its children, such as a game of VizDoom.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    code = process.returncode
    if code < 0:
        return Outcome(False, f"crashed ({signal.Signals(-code).name})")
    lines = (out if code == 0 else err or out).strip().splitlines() or [""]
    return Outcome(code == 0, lines[-1][:MAX_MESSAGE], package_missing=code == PACKAGE_MISSING)


def play_steps(task: str) -> str:
    """Plays a few steps with a uniform policy. Returns how long they took."""
    from actors.experts.registry import make_expert
    from actors.rollout import rollout

    started = time.monotonic()
    demonstrator = make_expert(task, [0], kind="random")
    ready = time.monotonic()
    with contextlib.closing(demonstrator.env):
        for step, _ in enumerate(rollout(demonstrator.env, demonstrator.policy), 1):
            if step == STEPS:
                break
    return f"{STEPS} steps in {time.monotonic() - ready:.2f} s, made in {ready - started:.1f} s"


def write_and_read() -> str:
    """Writes a sequence to a new replay server and reads it back. Returns how long it took."""
    import numpy as np

    from gato_dist.config.process_sections import ReplayConfig
    from gato_dist.sequence import Sequences, SequenceShape
    from replay.reverb.sampler import table_sequences
    from replay.reverb.starting import start_server
    from replay.reverb.writer import SequenceWriter

    shape = SequenceShape(length=16)
    server = start_server({"test": shape}, ReplayConfig(min_size=1))
    address = f"localhost:{server.port}"
    started = time.monotonic()
    empty = {name: np.zeros((1, *dims), dtype) for name, (dims, dtype) in Sequences.signature(shape).items()}
    written = Sequences(**empty | {"item_id": np.array([7])})
    with SequenceWriter(address, "test", lambda: False) as writer:
        writer.write(written)
    read = next(table_sequences(address, "test", shape, block=1))
    if int(read.item_id[0]) != 7:
        raise RuntimeError("another sequence was read than the one that was written")
    server.stop()
    seconds = time.monotonic() - started
    return f"a sequence was written and read in {seconds:.2f} s, on a port that only this machine reaches"


def main(name: str) -> NoReturn:
    """Runs a self-test in this process and exits: with 0, or after one line on stderr with another code."""
    try:
        result = write_and_read() if name == REVERB else play_steps(name)
    except Exception as error:  # the packages of a suite may raise anything
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
        sys.exit(PACKAGE_MISSING if isinstance(error, ImportError) else FAILED)
    print(result, flush=True)
    # Without the libraries' clean-up: some of them crash there.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
