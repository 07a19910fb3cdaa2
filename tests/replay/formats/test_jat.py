"""JAT's layout: the `datasets` library reads our exports, and we read folders of other programs."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gato_dist.errors import InputError
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.writing import write_dataset
from replay.formats.jat_export import export_jat
from replay.formats.jat_import import read_jat
from tests.gato_dist.tokens.test_image_files import IMAGES
from tests.support.episodes import arm, buttons, episodes_of, toy_dataset
from tests.support.foreign_datasets import foreign_jat, jat_images


@pytest.fixture
def dataset(tmp_path) -> Dataset:
    return toy_dataset(tmp_path / "set")


def test_the_datasets_library_opens_an_exported_jat_folder(dataset, tmp_path):
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


def test_a_jat_folder_of_another_program_becomes_a_task(tmp_path):
    foreign_jat(tmp_path / "set/walk")
    (source,) = read_jat(str(tmp_path / "set"))
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
def test_rows_with_inconsistent_steps_are_refused_and_nothing_is_left(tmp_path, more, says):
    foreign_jat(tmp_path / "theirs/walk", **more)
    with pytest.raises(InputError, match=says):
        write_dataset(tmp_path / "ours", read_jat(str(tmp_path / "theirs")), "jat", "")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


def imported_pixels(tmp_path: Path, folder: Path) -> np.ndarray:
    out = tmp_path / f"{folder.name}-ours"
    write_dataset(out, read_jat(str(folder)), "jat", "")
    (task,) = (dataset := Dataset.open(out)).shards
    return np.asarray(episodes_of(dataset, task)[0].observations["image"])


@pytest.mark.parametrize("name", IMAGES)
def test_a_jat_image_of_any_mode_keeps_its_colour(name, tmp_path):
    data, colour = IMAGES[name]
    jat_images(tmp_path / "set", [{"bytes": data, "path": None}] * 3)
    pixels = imported_pixels(tmp_path, tmp_path / "set")
    assert pixels.shape == (3, 32, 32, 3)
    assert np.abs(pixels[:, :20, :24].astype(int) - colour).max() <= 5


def test_four_channels_are_stacked_frames_only_in_jats_atari_tasks(tmp_path):
    stack = np.broadcast_to(np.array([10, 20, 30, 255], np.uint8), (84, 84, 4))
    file = io.BytesIO()
    Image.fromarray(stack).save(file, "PNG")
    for name, newest in (("atari-pong", (20, 30, 255)), ("mygame", (10, 20, 30))):
        jat_images(tmp_path / name, [{"bytes": file.getvalue(), "path": None}])
        assert imported_pixels(tmp_path, tmp_path / name)[0, 0, 0].tolist() == list(newest)


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ({"bytes": None, "path": "a.png"}, "step 1: its image holds no bytes"),
        ({"bytes": b"no", "path": None}, "step 1: its image cannot be decoded"),
    ],
)
def test_an_unreadable_jat_image_is_named_by_row_and_step(cell, says, tmp_path):
    jat_images(tmp_path / "set", [{"bytes": IMAGES["RGB"][0], "path": None}, cell])
    with pytest.raises(InputError, match=f"set: .*train.parquet, row 0: {says}"):
        imported_pixels(tmp_path, tmp_path / "set")


def test_suffixes_of_jat_files_may_have_capitals(tmp_path):
    foreign_jat(tmp_path / "walk")
    (tmp_path / "walk/train-00000-of-00001.parquet").rename(tmp_path / "walk/Train.PARQUET")
    (source,) = read_jat(str(tmp_path))
    assert len(list(source.episodes)) == 2
