"""Loader processes that are ended while they hand over a batch."""

import subprocess
import sys

from tests.support.paths import ROOT

SCRIPT = """
import multiprocessing
from dataclasses import fields
from functools import partial

import numpy as np

from gato_dist.sequence import Batch
from replay.processes import in_processes


def large():
    while True:
        yield Batch(**{field.name: np.zeros((4000, 64), np.float32) for field in fields(Batch)})


if __name__ == "__main__":
    batches = in_processes([partial(large)])
    next(batches)
    children = multiprocessing.active_children()
    batches.close()
    print([child.exitcode for child in children])
"""


def test_a_loader_that_is_ended_while_it_copies_a_batch_ends_without_a_word(tmp_path):
    (tmp_path / "ends.py").write_text(SCRIPT)
    root = ROOT
    done = subprocess.run(
        [sys.executable, "ends.py"], capture_output=True, text=True, cwd=tmp_path, timeout=120,
        env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.stdout, done.stderr, done.returncode) == ("[0]\n", "", 0)
