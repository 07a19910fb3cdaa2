"""Episodes come back from disk as they were, a window at a time too, and damage is found by name."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gato_dist.episode import Episode, Provenance
from gato_dist.errors import InputError
from replay.dataset.episodes import GROUP, Dropped, Manifest, Shard, read_groups, write_shard
from replay.dataset.faults import shard_faults
from tests.support.fakes import ARM, arm_actions, arm_observations


def episode(steps: int, seed: int) -> Episode:
    actions = arm_actions(steps, seed).astype(np.float32)
    rewards = np.random.default_rng(seed).normal(size=steps).astype(np.float32)
    source = Provenance(task="toy/arm", seed=seed, policy="fake", policy_hash="abc", versions={"numpy": "1"})
    return Episode(arm_observations(steps, seed), actions, actions / 2, rewards, bool(seed % 2), None, source)


def write(folder: Path, lengths: list[int]) -> tuple[Shard, dict[int, Episode]]:
    made = {7 + 2 * i: episode(steps, i) for i, steps in enumerate(lengths)}
    write_shard(folder / "toy.arm/000000", ARM, made)
    return Shard(folder / "toy.arm/000000.json"), made


def same(one: Episode, other: Episode) -> bool:
    arrays = all(np.array_equal(getattr(one, n), getattr(other, n)) for n in ("actions", "targets", "rewards"))
    parts = all(np.array_equal(one.observations[p.name], other.observations[p.name]) for p in ARM.observations)
    return arrays and parts and (one.terminated, one.provenance) == (other.terminated, other.provenance)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 3 * GROUP), min_size=1, max_size=4))
def test_episodes_come_back_bit_by_bit(tmp_path, lengths):
    shard, made = write(tmp_path, lengths)
    assert [entry.index for entry in shard.manifest.entries] == sorted(made)
    for entry in shard.manifest.entries:
        assert same(shard.episode(entry), made[entry.index])
    assert shard_faults(shard) == []


def test_a_window_is_read_without_the_rest_of_its_episode(tmp_path):
    shard, made = write(tmp_path, [50, 3 * GROUP + 5])
    entry = shard.manifest.entries[1]
    for groups in ([0], [1, 2], [3]):
        rows = read_groups(shard.parquet, [entry.first_group + group for group in groups])
        steps = rows.column("step").to_pylist()
        assert steps == list(range(GROUP * groups[0], min(GROUP * (groups[-1] + 1), len(made[entry.index]))))
        assert np.array_equal(rows.column("reward").to_numpy(), made[entry.index].rewards[steps])
    with pq.ParquetFile(tmp_path / "toy.arm/000000.parquet") as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [50, GROUP, GROUP, GROUP, 5]


def test_plain_pyarrow_reads_the_steps(tmp_path):
    _, made = write(tmp_path, [4])
    table = pq.read_table(tmp_path / "toy.arm/000000.parquet")
    assert table.column_names == [
        "episode", "step", "observation.mission", "observation.camera", "observation.gripper", "observation.pose",
        "action", "target", "reward",
    ]  # fmt: skip
    frame = np.frombuffer(table.column("observation.camera")[2].as_py(), np.uint8).reshape(16, 32, 3)
    assert np.array_equal(frame, made[7].observations["camera"][2])


def test_a_shard_that_was_not_finished_does_not_exist(tmp_path):
    good, bad = episode(5, 0), episode(5, 1)
    del bad.observations["pose"]
    with pytest.raises(KeyError, match="pose"):
        write_shard(tmp_path / "toy.arm/000001", ARM, {0: good, 1: bad})
    assert list((tmp_path / "toy.arm").iterdir()) == []


def test_what_was_played_and_dropped_is_told_and_without_an_episode_there_is_no_file_of_steps(tmp_path):
    some = write_shard(tmp_path / "a", ARM, {1: episode(3, 1)}, [Dropped(2, -1.5), Dropped(0, 0.25)])
    assert Manifest.load(tmp_path / "a.json") == some
    assert (some.indices, some.dropped) == ([0, 1, 2], (Dropped(0, 0.25), Dropped(2, -1.5)))
    write_shard(tmp_path / "b", ARM, {}, [Dropped(0, 0.0)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.parquet", "b.json"]
    assert shard_faults(Shard(tmp_path / "b.json")) == []


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other"}', "[1]"])
def test_what_is_no_manifest_is_refused_by_name(tmp_path, text):
    path = tmp_path / "000000.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"000000\.json"):
        Shard(path)
