"""Other people's formats: ours go out and come back as they were, theirs come in with a layout found in the data."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from gato_dist.episode import Episode, Provenance
from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.images import fit_frames
from replay.dataset.dataset import Dataset
from replay.dataset.episodes import Dropped, write_shard
from replay.dataset.moments import load_moments
from replay.dataset.storage import Location
from replay.dataset.writing import Source, write_dataset
from replay.formats.jat import export_jat, jat_sources
from replay.formats.minari_read import minari_sources
from replay.formats.minari_write import export_minari, minari_id
from tests.gato_dist.tokens.test_pictures import PICTURES
from tests.replay.dataset.test_episodes import episode, same
from tests.support.fakes import ARM, BUTTONS

KINDS = {
    "minari": (export_minari, minari_sources),
    "jat": (export_jat, jat_sources),
}


def buttons(steps: int, seed: int) -> Episode:
    pressed = np.random.default_rng(seed).integers(3, size=steps)
    source = Provenance(task="toy/buttons", seed=seed, policy="fake", policy_hash="abc", weights_version=4)
    return Episode(
        {"light": pressed.astype(np.uint8)}, pressed, pressed, np.ones(steps, np.float32), True, True, source
    )


def arm(steps: int, seed: int) -> Episode:
    """Without disturbances: JAT has no place for targets."""
    made = episode(steps, seed)
    seen = made.observations | {"pose": np.asarray(made.observations["pose"]).astype(np.float32)}
    return Episode(seen, made.actions, made.actions, made.rewards, made.terminated, None, made.provenance)


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    arms = Source(ARM, [arm(3 + i % 5, i) for i in range(18)])
    write_dataset(tmp_path / "set", [arms, Source(BUTTONS, [buttons(7, i) for i in range(3)])], "fake", "by hand")
    return Dataset.open(tmp_path / "set")


def episodes(dataset: Dataset, task: str) -> list[Episode]:
    return [shard.episode(entry) for shard in dataset.shards[task] for entry in shard.manifest.entries]


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_goes_out_and_comes_back_as_it_was(dataset, tmp_path, kind, monkeypatch):
    write, read = KINDS[kind]
    monkeypatch.chdir(tmp_path)
    write(dataset, Path("out"))
    write_dataset(tmp_path / "back", read(str(tmp_path / "out")), kind, "")
    back = Dataset.open(tmp_path / "back")
    assert list(back.shards) == ["toy/arm", "toy/buttons"]
    assert [dataset.spec(task) for task in dataset.shards] == [back.spec(task) for task in back.shards]
    for one, other in zip(episodes(dataset, "toy/arm"), episodes(back, "toy/arm"), strict=True):
        assert same(one, other)
        assert np.asarray(other.observations["pose"]).dtype == np.float32
    for one, other in zip(episodes(dataset, "toy/buttons"), episodes(back, "toy/buttons"), strict=True):
        assert (one.observations["light"] == other.observations["light"]).all()
        assert (other.success, other.terminated, other.provenance) == (True, True, one.provenance)
        assert other.observations["light"].dtype == np.uint8
    assert load_moments(Location.of(tmp_path / "back")) == {}
    with pytest.raises(InputError, match="give another --out"):
        write(dataset, tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_shards_of_which_every_episode_was_dropped_are_passed_over(tmp_path, kind):
    write, read = KINDS[kind]
    write_dataset(tmp_path / "set", [Source(BUTTONS, [buttons(3, 0)])], "", "")
    write_shard(tmp_path / "set/toy.buttons/000001", BUTTONS, {}, [Dropped(1, -1.0)])
    write_shard(tmp_path / "set/toy.arm/000000", ARM, {}, [Dropped(0, -1.0)])
    write(Dataset.open(tmp_path / "set"), tmp_path / "out")
    (source,) = read(str(tmp_path / "out"))
    assert (source.spec, len(list(source.episodes))) == (BUTTONS, 1)


def test_minari_itself_opens_what_was_exported(dataset, tmp_path, monkeypatch):
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


def test_what_an_expert_would_have_done_survives_minari(tmp_path):
    write_dataset(tmp_path / "set", [Source(ARM, [episode(4, 1)])], "fake", "")
    export_minari(Dataset.open(tmp_path / "set"), tmp_path / "out")
    (back,) = [each for source in minari_sources(str(tmp_path / "out")) for each in source.episodes]
    assert same(back, episode(4, 1))
    assert not (back.targets == back.actions).any()


def test_a_foreign_minari_dataset_becomes_a_task_of_its_own(tmp_path, monkeypatch):
    found = foreign_minari(tmp_path / "theirs", monkeypatch)
    (source,) = minari_sources(found)
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
    write_dataset(tmp_path / "ours", minari_sources(found), "minari", "")
    kept = load_moments(Location.of(tmp_path / "ours"))["minari/toy/walk-v1"]["body/speed"]
    values = np.concatenate([each.observations["body/speed"] for each in (first, second)]).astype(np.float64)
    assert (kept.count, kept.mean) == (5, pytest.approx(values.mean(0).tolist()))


def foreign_minari(root, monkeypatch) -> str:
    """Two episodes with a picture that fits no patches, a grid, and actions that begin at 1; its id."""
    import minari
    from gymnasium import spaces
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    space = spaces.Dict(
        {
            "eye": spaces.Box(0, 255, (40, 50, 3), np.uint8),
            "grid": spaces.Box(0, 3, (2, 2, 1), np.int8),
            "body": spaces.Dict({"speed": spaces.Box(-9, 9, (2,), np.float32)}),
        }
    )
    buffers = []
    for seed, steps in ((5, 3), (None, 2)):
        space.seed(steps)
        seen = [space.sample() for _ in range(steps + 1)]
        ends = np.arange(steps) == steps - 1
        buffers.append(
            EpisodeBuffer(
                seed=seed,
                observations={
                    "eye": np.stack([each["eye"] for each in seen]),
                    "grid": np.stack([each["grid"] for each in seen]),
                    "body": {"speed": np.stack([each["body"]["speed"] for each in seen])},
                },
                actions=np.arange(steps) + 1,
                rewards=np.ones(steps),
                terminations=ends & (steps == 3),
                truncations=ends & (steps == 2),
            )
        )
    minari.create_dataset_from_buffers(
        "toy/walk-v1", buffers, observation_space=space, action_space=spaces.Discrete(3, start=1)
    )
    return "toy/walk-v1"


def test_a_minari_set_that_would_have_to_run_code_is_refused(tmp_path, monkeypatch):
    foreign_minari(tmp_path, monkeypatch)
    path = tmp_path / "toy/walk-v1/data/metadata.json"
    metadata = json.loads(path.read_text())
    del metadata["action_space"]
    path.write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="holds no spaces"):
        list(minari_sources(str(tmp_path)))
    with pytest.raises(InputError, match="minari download"):
        list(minari_sources("nobody/knows-v0"))


def newer_minari(root: Path, monkeypatch, **changes) -> Path:
    """A set whose metadata are those of Minari 0.5.4, but for what is changed."""
    foreign_minari(root, monkeypatch)
    path = root / "toy/walk-v1/data/metadata.json"
    metadata = json.loads(path.read_text("utf-8")) | {"minari_version": "0.5.4", "jpeg_encoding": True} | changes
    path.write_text(json.dumps(metadata), "utf-8")
    return path.parent


def test_a_set_of_minari_0_5_4_is_read(tmp_path, monkeypatch):
    newer_minari(tmp_path, monkeypatch)
    (source,) = minari_sources(str(tmp_path))
    first, _ = source.episodes
    assert (first.actions.tolist(), first.observations["eye"].shape) == ([0, 1, 2], (3, 48, 64, 3))


def test_pictures_that_minari_0_5_4_kept_as_arrays_are_read_as_they_are(tmp_path, monkeypatch):
    import h5py

    folder = newer_minari(tmp_path, monkeypatch, jpeg_encoding=False)
    frames = np.random.default_rng(0).integers(256, size=(4, 40, 50, 3), dtype=np.uint8)
    with h5py.File(folder / "main_data.hdf5", "r+") as file:
        seen = file["episode_0/observations"]
        del seen["eye"]
        seen["eye"] = frames
    (source,) = minari_sources(str(tmp_path))
    assert (next(iter(source.episodes)).observations["eye"][:, :40, :50] == frames[:3]).all()


def test_a_set_of_an_unknown_minari_is_refused_with_what_to_do(tmp_path, monkeypatch):
    newer_minari(tmp_path, monkeypatch, minari_version="0.9.0")
    with pytest.raises(InputError, match=r"made by Minari 0\.9\.0; sets of .*0\.5\.4 can be read\. Load it with"):
        list(minari_sources(str(tmp_path)))


@pytest.mark.parametrize("write", [export_jat, export_minari])
def test_tasks_whose_names_an_export_cannot_tell_apart_are_refused_before_anything_is_written(write, tmp_path):
    specs = [replace(BUTTONS, name=name) for name in ("a/b-c_d", "a-b/c_d", "a/b-c.d")]
    made = [
        replace(buttons(3, 0), provenance=Provenance(task=spec.name, seed=0, policy="fake", policy_hash=""))
        for spec in specs
    ]
    write_dataset(tmp_path / "set", [Source(*each) for each in zip(specs, [[e] for e in made], strict=True)], "", "")
    with pytest.raises(InputError, match=r"would both be named .*; export them apart"):
        write(Dataset.open(tmp_path / "set"), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


@pytest.mark.parametrize(
    ("task", "name"), [("metaworld/reach-v3", "metaworld/reach-v3-v0"), ("gymnasium/a.b:c", "gymnasium/a_b_c-v0")]
)
def test_a_task_has_an_id_that_minari_takes(task, name):
    from minari.dataset.minari_dataset import parse_dataset_id

    assert minari_id(task) == name
    assert parse_dataset_id(name)[2] == 0


def foreign_jat(folder, **more) -> None:
    rows = {
        "continuous_observations": [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[6.0, -7.0], [8.0, 9.0]]],
        "discrete_observations": [[[1, 5], [0, 0], [2, 2]], [[0, 1], [1, 0]]],
        "text_observations": [["go", "go", "go"], ["stop", "stop"]],
        "continuous_actions": [[[0.5], [-2.0], [0.0]], [[1.0], [1.5]]],
        "rewards": [[0.0, 0.0, 1.0], [0.0, 0.5]],
    } | more
    folder.mkdir(parents=True)
    pq.write_table(pa.table(rows), folder / "train-00000-of-00001.parquet")
    (folder / "test-00000-of-00001.parquet").write_bytes(b"not read")


def test_a_foreign_jat_folder_becomes_a_task_of_its_own(tmp_path):
    foreign_jat(tmp_path / "set/walk")
    (source,) = jat_sources(str(tmp_path / "set"))
    assert source.spec == TaskSpec(
        "jat/walk",
        (
            ObservationSpec("text", Modality.TEXT),
            ObservationSpec("discrete", Modality.DISCRETE, (2,), 6),
            ObservationSpec("continuous", Modality.CONTINUOUS, (2,)),
        ),
        ActionSpec(Modality.CONTINUOUS, (1,), low=(-2.0,), high=(1.5,)),
        0,
    )
    first, second = source.episodes
    assert first.observations["continuous"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert second.observations["text"] == ["stop", "stop"]
    assert (second.actions.tolist(), second.rewards.tolist()) == ([[1.0], [1.5]], [0.0, 0.5])


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rewards": [[0.0], [0.0]]}, r"row 0: 3 observations for 1 rewards"),
        ({"discrete_observations": [[[1, 5], [0], [2, 2]], [[0, 1], [1, 0]]]}, "steps of different lengths"),
        ({"discrete_observations": [[[-1], [0], [2]], [[0], [1]]]}, r"must lie in \[0, 1024\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused_and_nothing_is_left(tmp_path, more, says):
    foreign_jat(tmp_path / "theirs/walk", **more)
    with pytest.raises(InputError, match=says):
        write_dataset(tmp_path / "ours", jat_sources(str(tmp_path / "theirs")), "jat", "")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def test_values_that_no_learner_could_take_are_refused_by_task_and_episode(tmp_path):
    broken = arm(4, 0)
    broken.observations["pose"][2] = np.nan
    with pytest.raises(InputError, match="toy/arm: episode 1: pose, step 2: nan is not finite"):
        write_dataset(tmp_path / "out", [Source(ARM, [arm(3, 1), broken])], "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "file"), [("minari", "main_data.hdf5"), ("jat", "train-*.parquet")])
def test_a_damaged_set_is_named_and_nothing_is_left(dataset, tmp_path, kind, file):
    write, read = KINDS[kind]
    write(dataset, tmp_path / "out")
    path = sorted((tmp_path / "out").rglob(file))[0]
    whole = path.read_bytes()
    for damaged in (whole[:100], whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="out/toy"):
            write_dataset(tmp_path / "back", read(str(tmp_path / "out")), "", "")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "set"]


@pytest.mark.parametrize("name", ["..", "alone", "../x", "a/..", "a b/c", "/a"])
def test_a_task_whose_name_could_be_a_path_is_refused(tmp_path, name):
    spec = TaskSpec(name, BUTTONS.observations, BUTTONS.action, 0)
    with pytest.raises(InputError, match="no name of a task"):
        write_dataset(tmp_path / "out", [Source(spec, [buttons(3, 0)])], "", "")


def test_frames_are_filled_up_with_black_and_no_pixel_changes():
    grey = np.arange(2 * 20 * 40, dtype=np.uint8).reshape(2, 20, 40, 1)
    frames = fit_frames(grey)
    assert frames.shape == (2, 32, 48, 3)
    assert (frames[:, :20, :40] == grey).all()
    assert not frames[:, 20:].any()
    assert not frames[:, :, 40:].any()
    with pytest.raises(InputError, match="4 channels"):
        fit_frames(np.zeros((1, 16, 16, 4), np.uint8))


def test_the_datasets_library_opens_what_was_exported_as_jat(dataset, tmp_path):
    import datasets

    export_jat(dataset, tmp_path / "out")
    rows = datasets.load_dataset(str(tmp_path / "out"), "toy-arm", split="train", cache_dir=str(tmp_path / "cache"))
    made = arm(4, 1)
    assert rows.column_names == [
        "text_observations", "image_observations", "discrete_observations", "continuous_observations",
        "continuous_actions", "rewards",
    ]  # fmt: skip
    assert (rows.num_rows, len(rows[1]["rewards"])) == (18, 4)
    assert (np.asarray(rows[1]["image_observations"][2]) == made.observations["camera"][2]).all()
    assert rows[1]["continuous_observations"][3] == pytest.approx(made.observations["pose"][3])
    pressed = datasets.load_dataset(str(tmp_path / "out"), "toy-buttons", split="train", cache_dir=str(tmp_path / "c"))
    assert pressed[0]["discrete_actions"] == buttons(7, 0).actions.tolist()


def jat_pictures(folder: Path, cells: list[dict]) -> None:
    count = len(cells)
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table(
        {
            "image_observations": pa.array([cells], kind),
            "discrete_actions": [[0, 1, 0][:count]],
            "rewards": [[0.0, 1.0, 0.0][:count]],
        }
    )
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "train.parquet")


def imported_pixels(tmp_path: Path, folder: Path) -> np.ndarray:
    out = tmp_path / f"{folder.name}-ours"
    write_dataset(out, jat_sources(str(folder)), "jat", "")
    (task,) = (dataset := Dataset.open(out)).shards
    return np.asarray(episodes(dataset, task)[0].observations["image"])


@pytest.mark.parametrize("name", PICTURES)
def test_a_jat_picture_keeps_its_colour_whatever_its_mode(name, tmp_path):
    data, colour = PICTURES[name]
    jat_pictures(tmp_path / "set", [{"bytes": data, "path": None}] * 3)
    pixels = imported_pixels(tmp_path, tmp_path / "set")
    assert pixels.shape == (3, 32, 32, 3)
    assert np.abs(pixels[:, :20, :24].astype(int) - colour).max() <= 5


def test_four_channels_are_stacked_frames_in_jats_atari_tasks_alone(tmp_path):
    stack = np.broadcast_to(np.array([10, 20, 30, 255], np.uint8), (84, 84, 4))
    file = io.BytesIO()
    Image.fromarray(stack).save(file, "PNG")
    for name, newest in (("atari-pong", (20, 30, 255)), ("mygame", (10, 20, 30))):
        jat_pictures(tmp_path / name, [{"bytes": file.getvalue(), "path": None}])
        assert imported_pixels(tmp_path, tmp_path / name)[0, 0, 0].tolist() == list(newest)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ({"bytes": None, "path": "a.png"}, "step 1: its picture holds no bytes"),
        ({"bytes": b"no", "path": None}, "step 1: its picture cannot be decoded"),
    ],
)
def test_a_jat_picture_that_cannot_be_read_is_named(cell, says, tmp_path):
    jat_pictures(tmp_path / "set", [{"bytes": PICTURES["RGB"][0], "path": None}, cell])
    with pytest.raises(InputError, match=f"set: .*train.parquet, row 0: {says}"):
        imported_pixels(tmp_path, tmp_path / "set")


def test_suffixes_of_a_foreign_jat_folder_may_have_capitals(tmp_path):
    foreign_jat(tmp_path / "walk")
    (tmp_path / "walk/train-00000-of-00001.parquet").rename(tmp_path / "walk/Train.PARQUET")
    (source,) = jat_sources(str(tmp_path))
    assert len(list(source.episodes)) == 2
