"""Shards: episodes are stored exactly, windows are read without the rest, and manifests are checked."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gato_dist.episode import Episode
from gato_dist.errors import InputError
from replay.dataset.parquet_steps import GROUP_STEPS, read_groups
from replay.dataset.shards import DroppedEpisode, Manifest, Shard, write_shard
from replay.dataset.validation import shard_faults
from tests.support.episodes import episode, same
from tests.support.fakes import ARM


def write(folder: Path, lengths: list[int]) -> tuple[Shard, dict[int, Episode]]:
    """Writes episodes of these lengths. Returns their shard, and the episodes by index."""
    made = {7 + 2 * i: episode(steps, i) for i, steps in enumerate(lengths)}
    write_shard(folder / "toy.arm/000000", ARM, made)
    return Shard(folder / "toy.arm/000000.json"), made


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 3 * GROUP_STEPS), min_size=1, max_size=4))
def test_episodes_are_read_exactly_as_written(tmp_path, lengths):
    shard, made = write(tmp_path, lengths)
    assert [entry.index for entry in shard.manifest.entries] == sorted(made)
    for entry in shard.manifest.entries:
        assert same(shard.episode(entry), made[entry.index])
    assert shard_faults(shard) == []


def test_a_window_is_read_without_the_rest_of_its_episode(tmp_path):
    shard, made = write(tmp_path, [50, 3 * GROUP_STEPS + 5])
    entry = shard.manifest.entries[1]
    for groups in ([0], [1, 2], [3]):
        steps = read_groups(shard.parquet, [entry.first_group + group for group in groups])
        numbers = steps.column("step").to_pylist()
        assert numbers == list(
            range(GROUP_STEPS * groups[0], min(GROUP_STEPS * (groups[-1] + 1), len(made[entry.index])))
        )
        assert np.array_equal(steps.column("reward").to_numpy(), made[entry.index].rewards[numbers])
    with pq.ParquetFile(tmp_path / "toy.arm/000000.parquet") as file:
        sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert sizes == [50, GROUP_STEPS, GROUP_STEPS, GROUP_STEPS, 5]


def test_plain_pyarrow_reads_the_steps(tmp_path):
    _, made = write(tmp_path, [4])
    table = pq.read_table(tmp_path / "toy.arm/000000.parquet")
    assert table.column_names == [
        "episode", "step", "observation.mission", "observation.camera", "observation.gripper", "observation.pose",
        "action", "target", "reward",
    ]  # fmt: skip
    frame = np.frombuffer(table.column("observation.camera")[2].as_py(), np.uint8).reshape(16, 32, 3)
    assert np.array_equal(frame, made[7].observations["camera"][2])


def test_an_interrupted_write_leaves_no_shard(tmp_path):
    good, bad = episode(5, 0), episode(5, 1)
    del bad.observations["pose"]
    with pytest.raises(KeyError, match="pose"):
        write_shard(tmp_path / "toy.arm/000001", ARM, {0: good, 1: bad})
    assert list((tmp_path / "toy.arm").iterdir()) == []


def test_dropped_episodes_are_listed_and_a_shard_of_only_those_has_no_parquet_file(tmp_path):
    some = write_shard(tmp_path / "a", ARM, {1: episode(3, 1)}, [DroppedEpisode(2, -1.5), DroppedEpisode(0, 0.25)])
    assert Manifest.load(tmp_path / "a.json") == some
    assert (some.indices, some.dropped) == ([0, 1, 2], (DroppedEpisode(0, 0.25), DroppedEpisode(2, -1.5)))
    write_shard(tmp_path / "b", ARM, {}, [DroppedEpisode(0, 0.0)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "a.parquet", "b.json"]
    assert shard_faults(Shard(tmp_path / "b.json")) == []


@pytest.mark.parametrize("text", ["", "{}", '{"format": "other"}', "[1]"])
def test_an_invalid_manifest_is_refused_by_name(tmp_path, text):
    path = tmp_path / "000000.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"000000\.json"):
        Shard(path)
