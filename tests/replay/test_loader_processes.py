"""How loader processes end."""

import subprocess
import sys

from tests.support.paths import ROOT

SCRIPT = """
import multiprocessing
from dataclasses import fields
from functools import partial

import numpy as np

from gato_dist.sequence import Batch
from replay.loader_processes import batches_from_processes


def large():
    while True:
        yield Batch(**{field.name: np.zeros((4000, 64), np.float32) for field in fields(Batch)})


if __name__ == "__main__":
    batches = batches_from_processes([partial(large)])
    next(batches)
    children = multiprocessing.active_children()
    batches.close()
    print([child.exitcode for child in children])
"""


def test_a_loader_that_is_stopped_while_it_copies_a_batch_ends_silently(tmp_path):
    (tmp_path / "ends.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "ends.py"], capture_output=True, text=True, cwd=tmp_path, timeout=120,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("[0]\n", "", 0)
