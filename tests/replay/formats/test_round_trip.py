"""Export and import in every format: datasets come back unchanged, and damage is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gato_dist.episode import Provenance
from gato_dist.errors import InputError
from replay.dataset.dataset import Dataset
from replay.dataset.observation_moments import load_moments
from replay.dataset.shards import DroppedEpisode, write_shard
from replay.dataset.storage import Location
from replay.dataset.writing import EpisodeStream, write_dataset
from replay.formats.jat_export import export_jat
from replay.formats.jat_import import read_jat
from replay.formats.minari_export import export_minari
from replay.formats.minari_import import read_minari
from tests.support.episodes import buttons, episodes_of, same, toy_dataset
from tests.support.fakes import ARM, BUTTONS

KINDS = {
    "minari": (export_minari, read_minari),
    "jat": (export_jat, read_jat),
}


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return toy_dataset(tmp_path / "set")


@pytest.mark.parametrize("kind", KINDS)
def test_export_and_import_return_the_same_dataset(dataset, tmp_path, kind, monkeypatch):
    write, read = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    write(dataset, Path("out"))
    write_dataset(tmp_path / "back", read(str(tmp_path / "out")), kind, "")
    back = Dataset.open(tmp_path / "back")
    assert list(back.shards) == ["toy/arm", "toy/buttons"]
    assert [dataset.spec(task) for task in dataset.shards] == [back.spec(task) for task in back.shards]
    for one, other in zip(episodes_of(dataset, "toy/arm"), episodes_of(back, "toy/arm"), strict=True):
        assert same(one, other)
        assert np.asarray(other.observations["pose"]).dtype == np.float32
    for one, other in zip(episodes_of(dataset, "toy/buttons"), episodes_of(back, "toy/buttons"), strict=True):
        assert (one.observations["light"] == other.observations["light"]).all()
        assert (other.success, other.terminated, other.provenance) == (True, True, one.provenance)
        assert other.observations["light"].dtype == np.uint8
    assert load_moments(Location.of(tmp_path / "back")) == {}
    with pytest.raises(InputError, match="give another --out"):
        write(dataset, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_export_leaves_out_shards_without_kept_episodes(tmp_path, kind):
    write, read = KINDS[kind]
    write_dataset(tmp_path / "set", [EpisodeStream(BUTTONS, [buttons(3, 0)])], "", "")
    write_shard(tmp_path / "set/toy.buttons/000001", BUTTONS, {}, [DroppedEpisode(1, -1.0)])
    write_shard(tmp_path / "set/toy.arm/000000", ARM, {}, [DroppedEpisode(0, -1.0)])
    write(Dataset.open(tmp_path / "set"), tmp_path / "out")
    (source,) = read(str(tmp_path / "out"))
    assert (source.spec, len(list(source.episodes))) == (BUTTONS, 1)


@pytest.mark.parametrize("write", [export_jat, export_minari])
def test_export_refuses_tasks_that_would_share_a_name_and_writes_nothing(write, tmp_path):
    specs = [replace(BUTTONS, name=name) for name in ("a/b-c_d", "a-b/c_d", "a/b-c.d")]
    made = [
        replace(buttons(3, 0), provenance=Provenance(task=spec.name, seed=0, policy="fake", policy_hash=""))
        for spec in specs
    ]
    write_dataset(
        tmp_path / "set", [EpisodeStream(*each) for each in zip(specs, [[e] for e in made], strict=True)], "", ""
    )
    with pytest.raises(InputError, match=r"would both be named .*; export them separately"):
        write(Dataset.open(tmp_path / "set"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(("kind", "file"), [("minari", "main_data.hdf5"), ("jat", "train-*.parquet")])
def test_import_of_a_damaged_dataset_names_it_and_leaves_nothing(dataset, tmp_path, kind, file):
    write, read = KINDS[kind]
    write(dataset, tmp_path / "out")
    path = sorted((tmp_path / "out").rglob(file))[0]
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="out/toy"):
            write_dataset(tmp_path / "back", read(str(tmp_path / "out")), "", "")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "set"]
