"""Parts of a real run are killed, and it goes on. `python -m tests.chaos` does the same for as long as one likes."""

import random
import subprocess
import sys

import pytest

from gato_dist.seeds import SEQUENCES_PER_BLOCK
from tests.chaos.checks import Items, check_checkpoints, check_scores, row_fault
from tests.chaos.faults import FAULTS, inject
from tests.chaos.running import Running


def run_through(running: Running, kinds: list[str], seed: int = 0) -> None:
    """Kills one of each kind after the other, and checks what must hold all the while and at the end."""
    draw = random.Random(seed)
    running.start()
    try:
        running.wait_for_training()
        running.wait_for_checkpoint()
        items = Items(running)
        for kind in kinds:
            inject(FAULTS[kind], running, draw, items)
        assert running.end() == 130, running.output()
    finally:
        if running.process is not None and running.process.poll() is None:
            running.process.kill()
    check_scores(running.run)
    check_checkpoints(running.run)


def test_a_run_goes_on_without_its_expert_and_its_replay_server(tmp_path):
    run_through(Running(tmp_path), ["expert", "replay server"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_outlives_each_of_its_processes_in_any_order(tmp_path, seed):
    kinds = [kind for kind in FAULTS if kind != "node"]
    run_through(Running(tmp_path), random.Random(seed).sample(kinds, len(kinds)), seed)


@pytest.mark.slow
def test_a_run_outlives_a_node(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("n"))
    words = [sys.executable, "-m", "tests.chaos", "--faults", "node", "--minutes", "0.3", "--folder", folder]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none there twice, none lost" in done.stdout


@pytest.mark.parametrize(
    ("rows", "seen", "fault"),
    [
        ([8, 9, 10], {4, 8, 10}, None),
        ([0, 1, 2], {2}, None),
        ([0, 1, 1], set(), "a row lies there twice"),
        ([0, 1, 3], set(), "rows of block 0 between 0 and 3 are gone"),
        ([0, 1, 2], {3}, "row 3 of block 0 is gone, which goes on"),
        ([0, 1, SEQUENCES_PER_BLOCK], {2, SEQUENCES_PER_BLOCK}, None),
        ([5], set(), "the first rows of block 0 are gone"),
        ([4, 5, SEQUENCES_PER_BLOCK + 1], set(), "the first rows of block 1 are gone"),
        ([0, 1], {SEQUENCES_PER_BLOCK}, f"row {SEQUENCES_PER_BLOCK} of block 1 is gone, which goes on"),
        ([], {7}, "row 7 of block 0 is gone, which goes on"),
        ([SEQUENCES_PER_BLOCK // 2, SEQUENCES_PER_BLOCK // 2 + 1], set(), None),
    ],
)
def test_what_chaos_takes_for_lost(rows, seen, fault):
    """Rows of a table of three: the oldest have left a full one, and an actor's last ones die with it."""
    assert row_fault(rows, seen, 3) == fault
