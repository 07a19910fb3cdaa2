"""Parts of a real run are killed, and the run recovers. `python -m tests.chaos` does this for any length of time."""

import random
import subprocess
import sys

import pytest

from gato_dist.seeds import SEQUENCES_PER_BLOCK
from tests.chaos.checks import Items, check_checkpoints, check_scores, sequence_fault
from tests.chaos.faults import FAULTS, inject
from tests.chaos.running import Running


def run_through(running: Running, kinds: list[str], seed: int = 0) -> None:
    """Kills one process of each kind in turn. Checks the data after each recovery and at the end."""
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


def test_a_run_recovers_from_the_death_of_an_expert_and_of_the_replay_server(tmp_path):
    run_through(Running(tmp_path), ["expert", "replay server"])


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_recovers_from_the_death_of_each_kind_of_process(tmp_path, seed):
    kinds = [kind for kind in FAULTS if kind != "node"]
    run_through(Running(tmp_path), random.Random(seed).sample(kinds, len(kinds)), seed)


@pytest.mark.slow
def test_a_run_recovers_from_the_loss_of_a_node(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("n"))
    command = [sys.executable, "-m", "tests.chaos", "--faults", "node", "--minutes", "0.3", "--folder", folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none stored twice, none lost" in done.stdout


@pytest.mark.parametrize(
    ("stored", "seen", "fault"),
    [
        ([8, 9, 10], {4, 8, 10}, None),
        ([0, 1, 2], {2}, None),
        ([0, 1, 1], set(), "a sequence is stored twice"),
        ([0, 1, 3], set(), "sequences of block 0 between 0 and 3 are gone"),
        ([0, 1, 2], {3}, "sequence 3 of block 0 is gone, whose actor is alive"),
        ([0, 1, SEQUENCES_PER_BLOCK], {2, SEQUENCES_PER_BLOCK}, None),
        ([5], set(), "the first sequences of block 0 are gone"),
        ([4, 5, SEQUENCES_PER_BLOCK + 1], set(), "the first sequences of block 1 are gone"),
        ([0, 1], {SEQUENCES_PER_BLOCK}, f"sequence {SEQUENCES_PER_BLOCK} of block 1 is gone, whose actor is alive"),
        ([], {7}, "sequence 7 of block 0 is gone, whose actor is alive"),
        ([SEQUENCES_PER_BLOCK // 2, SEQUENCES_PER_BLOCK // 2 + 1], set(), None),
    ],
)
def test_lost_and_duplicate_sequences_are_found(stored, seen, fault):
    """In a table of size 3: a full table has removed its oldest, and the last sequences of a dead actor may be gone."""
    assert sequence_fault(stored, seen, 3) == fault
