"""A dataset is the same however it was made, and goes on where it was killed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from replay.episodes import Manifest, Shard

COMMAND = Path(sys.executable).parent / "gato-dist"
TASKS = "babyai/go-to-local,procgen/maze"


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=200)


def collect(out: Path, *words: str) -> list[str]:
    return ["collect", "--tasks", TASKS, "--episodes", "40", "--out", str(out), *words]


def contents(root: Path) -> dict[str, tuple]:
    """What each shard holds: its bytes, and of each episode all that does not tell the time."""
    found = {}
    for path in sorted(root.glob("*/*.json")):
        entries = Manifest.load(path).entries
        known = [(e.index, e.steps, e.episode_return, e.provenance.seed, e.provenance.policy_hash) for e in entries]
        found[str(path.relative_to(root))] = (path.with_suffix(".parquet").read_bytes(), known)
    return found


def test_a_collection_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path):
    done = run(*collect(tmp_path / "whole", "--workers", "2"))
    assert done.returncode == 0, done.stderr
    wanted = contents(tmp_path / "whole")
    assert len(wanted) == 6
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen(
            [COMMAND, *collect(tmp_path / "killed")], stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(float(rng.uniform(2, 7)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert contents(tmp_path / "killed").items() <= wanted.items()
    assert run(*collect(tmp_path / "killed")).returncode == 0
    assert contents(tmp_path / "killed") == wanted
    checked = run("dataset", "validate", str(tmp_path / "killed"))
    assert (checked.returncode, "no fault found" in checked.stdout) == (0, True), checked.stderr


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    words = ["collect", "--tasks", "babyai/go-to-local", "--episodes", "20", "--out", str(root), "--policy", "random"]
    assert run(*words).returncode == 0
    return root


def test_a_dataset_is_listed_and_its_episodes_have_their_provenance(dataset):
    listed = run("dataset", "info", str(dataset))
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines()[1].split()[:3] == ["babyai/go-to-local", "uniform", "20"]
    shard = Shard(dataset / "babyai.go-to-local/000000.json")
    seeds = [entry.provenance.seed for entry in shard.manifest.entries]
    assert seeds == list(range(seeds[0], seeds[0] + 16))
    episode = shard.episode(shard.manifest.entries[3])
    assert len(episode.observations["mission"]) == len(episode) == shard.manifest.entries[3].steps


def test_more_episodes_are_added_and_other_settings_refused(dataset):
    words = ["collect", "--tasks", "babyai/go-to-local", "--out", str(dataset)]
    for other in (["--episodes", "20"], ["--episodes", "20", "--policy", "random", "--seed", "1"]):
        refused = run(*words, *other)
        assert (refused.returncode, "give another --out" in refused.stderr) == (2, True)
    assert run(*words, "--episodes", "24", "--policy", "random").returncode == 0
    assert run("dataset", "validate", str(dataset)).returncode == 0


def test_a_missing_shard_and_a_flipped_bit_are_named(dataset):
    first, second = sorted(dataset.glob("*/*.parquet"))
    whole = first.read_bytes()
    first.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    second.with_suffix(".json").unlink()
    checked = run("dataset", "validate", str(dataset))
    assert checked.returncode == 2
    for part in (
        f"{first}: its checksum",
        f"{second}: no manifest",
        "16 of 24 episodes; the first that is missing is 16",
    ):
        assert part in checked.stderr
    none = run("dataset", "info", str(dataset.parent))
    assert (none.returncode, "no dataset there" in none.stderr) == (2, True)
