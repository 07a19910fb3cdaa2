"""Minari datasets: Minari reads our exports, and we read datasets of other programs."""

import json

import numpy as np
import pytest

from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.observation_moments import load_moments
from replay.dataset.storage import Location
from replay.dataset.writing import EpisodeStream, write_dataset
from replay.formats.minari_export import export_minari, minari_id
from replay.formats.minari_import import read_minari
from tests.support.episodes import arm, episode, same, toy_dataset
from tests.support.fakes import ARM
from tests.support.foreign_datasets import foreign_minari, newer_minari


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return toy_dataset(tmp_path / "set")


def test_minari_opens_an_exported_dataset(dataset, tmp_path, monkeypatch):
    import minari

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "out"))
    assert export_minari(dataset, tmp_path / "out") == ["toy/arm-v0", "toy/buttons-v0"]
    assert list(minari.list_local_datasets()) == ["toy/arm-v0", "toy/buttons-v0"]
    found = minari.load_dataset("toy/arm-v0")
    assert (found.total_episodes, found.total_steps) == (18, sum(3 + i % 5 for i in range(18)))
    first, made = found[0], arm(3, 0)
    assert found.observation_space.contains({name: each[0] for name, each in first.observations.items()})
    assert (len(first.observations["pose"]), len(first.actions)) == (4, 3)
    assert (first.observations["pose"][3] == first.observations["pose"][2]).all()
    assert (first.observations["camera"][:3].transpose(0, 2, 3, 1) == made.observations["camera"]).all()
    assert (first.terminations.tolist(), first.truncations.tolist()) == ([False] * 3, [False, False, True])


def test_targets_are_kept_through_minari(tmp_path):
    write_dataset(tmp_path / "set", [EpisodeStream(ARM, [episode(4, 1)])], "fake", "")
    export_minari(Dataset.open(tmp_path / "set"), tmp_path / "out")
    (back,) = [each for source in read_minari(str(tmp_path / "out")) for each in source.episodes]
    assert same(back, episode(4, 1))
    assert not (back.targets == back.actions).any()


@pytest.mark.parametrize(
    ("task", "name"), [("metaworld/reach-v3", "metaworld/reach-v3-v0"), ("gymnasium/a.b:c", "gymnasium/a_b_c-v0")]
)
def test_a_task_name_becomes_a_valid_minari_id(task, name):
    from minari.dataset.minari_dataset import parse_dataset_id

    assert minari_id(task) == name
    assert parse_dataset_id(name)[2] == 0


def test_a_minari_dataset_of_another_program_becomes_a_task(tmp_path, monkeypatch):
    found = foreign_minari(tmp_path / "theirs", monkeypatch)
    (source,) = read_minari(found)
    assert source.spec == TaskSpec(
        "minari/toy/walk-v1",
        (
            ObservationSpec("eye", Modality.IMAGE, (48, 64, 3)),
            ObservationSpec("grid", Modality.DISCRETE, (2, 2, 1), 4),
            ObservationSpec("body/speed", Modality.CONTINUOUS, (2,)),
        ),
        ActionSpec(Modality.DISCRETE, (), (3,)),
        0,
    )
    first, second = source.episodes
    assert (first.terminated, second.terminated) == (True, False)
    assert [first.provenance.seed, second.provenance.seed, second.provenance.episode] == [5, -1, 1]
    assert first.actions.tolist() == [0, 1, 2]
    assert first.observations["eye"].shape == (3, 48, 64, 3)
    assert (first.observations["eye"][:, 40:] == 0).all()
    write_dataset(tmp_path / "ours", read_minari(found), "minari", "")
    kept = load_moments(Location.of(tmp_path / "ours"))["minari/toy/walk-v1"]["body/speed"]
    values = np.concatenate([each.observations["body/speed"] for each in (first, second)]).astype(np.float64)
    assert (kept.count, kept.mean) == (5, pytest.approx(values.mean(0).tolist()))


def test_a_minari_dataset_without_spaces_is_refused(tmp_path, monkeypatch):
    foreign_minari(tmp_path, monkeypatch)
    path = tmp_path / "toy/walk-v1/data/metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["action_space"]
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="holds no spaces"):
        list(read_minari(str(tmp_path)))
    with pytest.raises(InputError, match="minari download"):
        list(read_minari("nobody/knows-v0"))


def test_a_dataset_of_minari_0_5_4_is_read(tmp_path, monkeypatch):
    newer_minari(tmp_path, monkeypatch)
    (source,) = read_minari(str(tmp_path))
    first, _ = source.episodes
    assert (first.actions.tolist(), first.observations["eye"].shape) == ([0, 1, 2], (3, 48, 64, 3))


def test_images_that_minari_0_5_4_stored_as_arrays_are_read_unchanged(tmp_path, monkeypatch):
    import h5py

    folder = newer_minari(tmp_path, monkeypatch, jpeg_encoding=False)
    frames = np.random.default_rng(0).integers(256, size=(4, 40, 50, 3), dtype=np.uint8)
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        seen = file["episode_0/observations"]
        del seen["eye"]
        seen["eye"] = frames
    (source,) = read_minari(str(tmp_path))
    assert (next(iter(source.episodes)).observations["eye"][:, :40, :50] == frames[:3]).all()


def test_a_dataset_of_an_unknown_minari_version_is_refused_with_advice(tmp_path, monkeypatch):
    newer_minari(tmp_path, monkeypatch, minari_version="0.9.0")
    with pytest.raises(InputError, match=r"made by Minari 0\.9\.0; sets of .*0\.5\.4 can be read\. Load it with"):
        list(read_minari(str(tmp_path)))
