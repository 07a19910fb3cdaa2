"""`gato-dist collect` and `dataset info|validate` as commands: killed processes, faulty files, wrong arguments."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from replay.dataset.shards import Manifest, Shard

COMMAND = Path(sys.executable).parent / "gato-dist"
TASKS = "babyai/go-to-local,procgen/maze"


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=200)


def collect(out: Path, *words: str) -> list[str]:
    return ["collect", "--tasks", TASKS, "--episodes", "24", "--out", str(out), *words]


def contents(root: Path) -> dict[str, tuple]:
    """What each shard holds: its bytes, and the facts about each episode that do not depend on the time."""
    found = {}
    for path in sorted(root.glob("*/*.json")):
        entries = Manifest.load(path).entries
        known = [(e.index, e.steps, e.episode_return, e.provenance.seed, e.provenance.policy_hash) for e in entries]
        found[str(path.relative_to(root))] = (path.with_suffix(".parquet").read_bytes(), known)
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> dict[str, tuple]:
    root = tmp_path_factory.mktemp("data") / "whole"
    done = run(*collect(root))
    assert done.returncode == 0, done.stderr
    assert len(contents(root)) == 4
    return contents(root)


def kill_a_worker(driver: int) -> bool:
    """Kills a Ray worker that plays a shard for this driver; returns whether there was one."""
    for child in psutil.Process(driver).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.name().startswith("ray::run_job"):
                child.kill()
                return True
    return False


def test_a_collection_that_was_killed_several_times_equals_an_undisturbed_one(tmp_path, undisturbed):
    rng = np.random.default_rng(0)
    for _ in range(3):
        process = subprocess.Popen(
            [COMMAND, *collect(tmp_path / "killed")], stdout=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(float(rng.uniform(2, 6)))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert contents(tmp_path / "killed").items() <= undisturbed.items()
    assert run(*collect(tmp_path / "killed")).returncode == 0
    assert contents(tmp_path / "killed") == undisturbed
    checked = run("dataset", "validate", str(tmp_path / "killed"))
    assert (checked.returncode, "no fault found" in checked.stdout) == (0, True), checked.stderr


def test_killed_workers_are_replaced_and_no_episode_is_lost(tmp_path, undisturbed):
    process = subprocess.Popen([COMMAND, *collect(tmp_path / "set", "--workers", "2")], stdout=subprocess.DEVNULL)
    killed = 0
    while process.poll() is None and killed < 2:
        killed += kill_a_worker(process.pid)
        time.sleep(0.3)
    assert process.wait(timeout=200) == 0
    assert killed == 2
    assert contents(tmp_path / "set") == undisturbed
    assert run("dataset", "validate", str(tmp_path / "set")).returncode == 0


def test_two_collections_into_one_folder_equal_one(tmp_path, undisturbed):
    both = [subprocess.Popen([COMMAND, *collect(tmp_path / "set")], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=200) for process in both] == [0, 0]
    assert contents(tmp_path / "set") == undisturbed
    checked = run("dataset", "validate", str(tmp_path / "set"))
    assert checked.returncode == 0, checked.stderr
    assert sorted(path.suffix for path in (tmp_path / "set").glob("*/*")) == [".json"] * 4 + [".parquet"] * 4


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "set"
    words = ["collect", "--tasks", "babyai/go-to-local", "--episodes", "20", "--out", str(root), "--policy", "random"]
    assert run(*words).returncode == 0
    return root


def test_info_lists_a_dataset_whose_episodes_have_their_provenance(dataset):
    listed = run("dataset", "info", str(dataset))
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.splitlines()[1].split()[:3] == ["babyai/go-to-local", "uniform", "20"]
    shard = Shard(dataset / "babyai.go-to-local/000000.json")
    seeds = [entry.provenance.seed for entry in shard.manifest.entries]
    assert seeds == list(range(seeds[0], seeds[0] + 16))
    episode = shard.episode(shard.manifest.entries[3])
    assert len(episode.observations["mission"]) == len(episode) == shard.manifest.entries[3].steps


def test_a_larger_goal_adds_episodes_and_other_settings_are_refused(dataset):
    words = ["collect", "--tasks", "babyai/go-to-local", "--out", str(dataset)]
    refused = run(*words, "--episodes", "20")
    assert (refused.returncode, "give another --out" in refused.stderr) == (2, True)
    before = contents(dataset)
    assert run(*words, "--episodes", "24", "--policy", "random").returncode == 0
    assert before.items() < contents(dataset).items()
    assert run("dataset", "validate", str(dataset)).returncode == 0


def test_validate_names_missing_and_damaged_shards(dataset):
    first, second, third = sorted(dataset.glob("*/*.parquet"))
    whole = first.read_bytes()
    first.write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
    second.with_suffix(".json").unlink()
    third.with_suffix(".json").write_text("{")
    checked = run("dataset", "validate", str(dataset))
    assert checked.returncode == 2
    for part in (
        f"{first}: its checksum",
        f"{second}: has no manifest",
        f"{third.with_suffix('.json')}: not a manifest",
        "16 of 24 episodes; the first missing episode is 16",
    ):
        assert part in checked.stderr
    none = run("dataset", "info", str(dataset.parent))
    assert (none.returncode, "no dataset there" in none.stderr) == (2, True)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["c.yaml", "--config", "c.yaml", "--episodes", "1"], "not allowed with argument"),
        (["c.yaml", "--steps", "9", "--episodes", "1"], "not allowed with argument"),
        (["c.yaml"], "--episodes --steps is required"),
        (["c.yaml", "--episodes", "1"], "c.yaml: cannot be read"),
        (["--episodes", "1"], "give a CONFIG, or --tasks GLOB"),
        (["configs/relabel.yaml", "--tasks", "ale/*", "--steps", "1"], "the tasks of configs/relabel.yaml are meta"),
        (["--tasks", "ale/pong", "--episodes", "1", "--min-fraction", "nan"], "nan is not finite"),
        (["--tasks", "ale/pong", "--episodes", "1", "--policy", "radom"], "'radom' is neither expert, random nor"),
        (["--tasks", "ale/pong", "--episodes", "1", "--address", "127.0.0.1:9"], "no Ray cluster answers"),
        (["--tasks", "ale/pong", "--episodes", "1", "--out", "sftp://host/set"], "paramiko"),
        (["--tasks", "ale/pong", "--episodes", "1", "--out", "/proc/set"], "/proc/set: cannot be written to"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(tmp_path, words, says):
    options = [] if "--out" in words else ["--out", str(tmp_path / "set")]
    refused = run("collect", *words, *options)
    assert (refused.returncode, refused.stderr.count("Traceback")) == (2, 0), refused.stderr
    assert says in refused.stderr
    assert not (tmp_path / "set").exists()


def test_tasks_chosen_from_a_configuration_keep_its_settings(tmp_path):
    text = """name: two
tasks: [{name: babyai/go-to-local, demonstration_steps: 2}, {name: babyai/go-to-obj}]
"""
    (tmp_path / "two.yaml").write_text(text)
    words = [
        "collect",
        str(tmp_path / "two.yaml"),
        "--tasks",
        "*local",
        "--episodes",
        "4",
        "--out",
        str(tmp_path / "set"),
    ]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    (shard,) = (tmp_path / "set").glob("*/*.json")
    assert shard.parent.name == "babyai.go-to-local"
    assert max(entry.steps for entry in Manifest.load(shard).entries) <= 2
