"""Doctor's self-tests: a few steps of every suite, and a row through Reverb.

Each in a process of its own: one that crashes or hangs is one finding, and the others go on.
`python -m gato_dist.doctor.self_tests TASK|reverb` is such a process; its last line is what it found.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from gato_dist.doctor.finding import Finding
from gato_dist.errors import brief
from gato_dist.tasks import task_table
from gato_dist.utils.missing_packages import reverb_advice

SECONDS = 90.0  # of a machine that is busy; a suite takes a few
STEPS = 20
REVERB = "reverb"


def suites() -> dict[str, str]:
    """The first task of every suite that is listed."""
    found: dict[str, str] = {}
    for name, entry in task_table().items():
        found.setdefault(entry.suite, name)
    return found


def suite_test(suite: str, task: str) -> Finding:
    state, said = run_apart([task], SECONDS)
    if state:
        return Finding(suite, "ok", f"{task}: {said}")
    return Finding(
        suite, "warning", f"{task}: {said}", "leave its tasks out; pip install 'gato-dist[suites]' may mend it"
    )


def reverb_test() -> Finding:
    state, said = run_apart([REVERB], SECONDS)
    if state:
        return Finding("Reverb", "ok", said)
    missing = said.startswith(("ImportError", "ModuleNotFoundError"))
    advice = reverb_advice() if missing else "it is installed, but does not work here; until then: train --data"
    return Finding("Reverb", "problem", said, advice)


def run_apart(words: list[str], seconds: float) -> tuple[bool, str]:
    """Whether a self-test ended well, and its last line or how it ended."""
    command = [sys.executable, "-m", "gato_dist.doctor.self_tests", *words]
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
        return False, f"gave no answer within {seconds:.0f} s"
    finally:
        # With what it started, a game of VizDoom for instance.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    lines = (out if process.returncode == 0 else err or out).strip().splitlines() or [""]
    if process.returncode < 0:
        return False, f"crashed ({signal.Signals(-process.returncode).name})"
    return process.returncode == 0, lines[-1][:200]


def play(task: str) -> str:
    """A few steps of a uniform policy; says how fast they were."""
    from actors.experts.registry import make_expert
    from actors.rollout import rollout

    began = time.monotonic()
    player = make_expert(task, [0], kind="random")
    ready = time.monotonic()
    with contextlib.closing(player.env):
        for step, _ in enumerate(rollout(player.env, player.policy), 1):
            if step == STEPS:
                break
    return f"{STEPS} steps in {time.monotonic() - ready:.2f} s, made in {ready - began:.1f} s"


def write_and_read() -> str:
    """A row into a replay server of its own and out of it again."""
    import numpy as np

    from gato_dist.config.process_sections import ReplayConfig
    from gato_dist.sequence import Sequences, SequenceShape
    from replay.reverb.sampler import table_sequences
    from replay.reverb.starting import start_server
    from replay.reverb.writer import SequenceWriter

    shape = SequenceShape(length=16)
    server = start_server({"test": shape}, ReplayConfig(min_size=1))
    address = f"localhost:{server.port}"
    began = time.monotonic()
    empty = {name: np.zeros((1, *dims), dtype) for name, (dims, dtype) in Sequences.signature(shape).items()}
    row = Sequences(**empty | {"item_id": np.array([7])})
    with SequenceWriter(address, "test", lambda: False) as writer:
        writer.write(row)
    back = next(table_sequences(address, "test", shape, block=1))
    if int(back.item_id[0]) != 7:
        raise RuntimeError("what was read is not what was written")
    server.stop()
    return f"a row written and read on a port that this machine alone reaches, in {time.monotonic() - began:.2f} s"


def main(word: str) -> None:
    try:
        said = write_and_read() if word == REVERB else play(word)
    except Exception as error:  # whatever a suite's packages raise is what there is to tell
        sys.exit(f"{type(error).__name__}: {brief(error, limit=None)}")
    print(said, flush=True)
    # Some libraries crash on their way out, of which nobody needs to hear.
    os._exit(0)


SELF_TESTS: tuple[Callable[[], Finding], ...] = (
    reverb_test,
    *(partial(suite_test, suite, task) for suite, task in suites().items()),
)

if __name__ == "__main__":
    main(sys.argv[1])
