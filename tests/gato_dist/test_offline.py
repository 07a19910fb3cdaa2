"""Training from disk: the same rows as through replay, every episode once an epoch, no environment needed."""

import subprocess
import sys
from dataclasses import fields
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from gato_dist.errors import InputError
from gato_dist.sequence import Rows
from gato_dist.tokens.packing import Packer
from replay import dataset as module
from replay.dataset import Dataset, dataset_rows
from replay.episodes import Shard, write_shard
from tests.fakes import ARM, tokenizer_of
from tests.replay.test_episodes import episode

COMMAND = Path(sys.executable).parent / "gato-dist"
TASK = "babyai/go-to-local"
CONFIG = f"""
name: disk
tasks: [{{name: {TASK}, window_steps: 4}}]
model: {{width: 32, layers: 1, heads: 2, key_size: 16, feed_forward: 64, patch_channels: 8}}
learner: {{steps: 30, batch: 6, warmup_steps: 5, checkpoint_seconds: 60}}
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data") / "set"
    words = [COMMAND, "collect", "--tasks", TASK, "--episodes", "40", "--out", str(root)]
    assert subprocess.run(words, capture_output=True, timeout=120).returncode == 0
    return root


def shards(folder: Path) -> list[Shard]:
    for shard in range(3):
        made = {4 * shard + i: episode(5 + 3 * i, 4 * shard + i) for i in range(4)}
        write_shard(folder / f"toy.arm/{shard:06d}", ARM, made)
    return [Shard(path) for path in sorted(folder.glob("toy.arm/*.json"))]


def test_rows_from_disk_are_those_that_the_episodes_give_directly(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POOL", 1)
    tokenizer, stored = tokenizer_of(ARM), shards(tmp_path)
    order = np.random.default_rng([9, 0]).permutation(12)
    packer = Packer(tokenizer, 64, 4, seed=3)
    played = [episode(5 + 3 * (int(i) % 4), int(i)) for i in order]
    wanted = [packer.add(tokenizer.encode(each.observations, each.targets)) for each in played]
    direct = [rows for rows in wanted if rows is not None]
    whole = {f.name: np.concatenate([getattr(rows, f.name) for rows in direct]) for f in fields(Rows)}
    stream = dataset_rows(stored, tokenizer, lambda: Packer(tokenizer, 64, 4, seed=3), seed=9)
    read = list(islice(stream, len(whole["token"])))
    ids = np.concatenate([rows.item_id for rows in read])
    assert sorted(ids) == sorted(whole["item_id"])
    for rows in read:
        (at,) = np.flatnonzero(whole["item_id"] == rows.item_id[0])
        assert all(np.array_equal(getattr(rows, name)[0], values[at]) for name, values in whole.items())


def test_workers_share_every_epoch_without_an_episode_twice(tmp_path):
    stored = shards(tmp_path)
    everything = [(shard, entry) for shard in stored for entry in shard.manifest.entries]
    parts = [islice(module._forever(everything, 5, rank, 3), 8) for rank in range(3)]
    seen = [[entry.index for _, entry in part] for part in parts]
    for epoch in (slice(0, 4), slice(4, 8)):
        assert sorted(index for part in seen for index in part[epoch]) == list(range(12))
    assert seen[0][:4] != seen[0][4:]


def test_a_run_from_disk_needs_no_environment_and_ends_in_a_checkpoint_that_acts(data, tmp_path):
    for name in ("ray", "reverb", "envpool", "gymnasium", "tensorflow", "mujoco", "minigrid"):
        (tmp_path / "shadow" / name).mkdir(parents=True)
        (tmp_path / "shadow" / name / "__init__.py").write_text(f"raise ImportError('no {name} here')\n")
    (tmp_path / "disk.yaml").write_text(CONFIG)
    words = [COMMAND, "train", "disk.yaml", "--data", str(data)]
    shadowed = {"PYTHONPATH": str(tmp_path / "shadow"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=shadowed, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "step-00000030" in done.stdout
    more = [*words, "--resume", "learner.steps=40"]
    again = subprocess.run(more, capture_output=True, text=True, cwd=tmp_path, env=shadowed, timeout=120)
    assert (again.returncode, "step-00000040" in again.stdout) == (0, True), again.stderr
    score = [COMMAND, "evaluate", "runs/disk/checkpoints/step-00000040", "--episodes", "2"]
    scored = subprocess.run(score, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert scored.returncode == 0, scored.stderr


def test_a_task_that_the_dataset_lacks_is_named_before_anything_is_written(data, tmp_path):
    (tmp_path / "disk.yaml").write_text(CONFIG.replace(TASK, "babyai/go-to-red-ball"))
    words = [COMMAND, "train", "disk.yaml", "--data", str(data)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 2
    assert "holds no babyai/go-to-red-ball; it has babyai/go-to-local" in done.stderr
    more = subprocess.run([*words, "learner.workers=2"], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (more.returncode, "learner.workers" in more.stderr) == (2, True)
    assert not (tmp_path / "runs").exists()


def test_a_dataset_of_another_format_is_refused(data, tmp_path):
    (tmp_path / "dataset.json").write_text((data / "dataset.json").read_text().replace("dataset 1", "dataset 9"))
    with pytest.raises(InputError, match="dataset 9"):
        Dataset.open(tmp_path)
