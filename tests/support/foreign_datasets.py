"""Small datasets in Minari's format and JAT's layout, as other programs write them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


def foreign_minari(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes two episodes with an image that does not fit patches, a grid, and actions that start at 1.

    Returns:
        The dataset's id.
    """
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
        last = np.arange(steps) == steps - 1
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
                terminations=last & (steps == 3),
                truncations=last & (steps == 2),
            )
        )
    minari.create_dataset_from_buffers(
        "toy/walk-v1", buffers, observation_space=space, action_space=spaces.Discrete(3, start=1)
    )
    return "toy/walk-v1"


def newer_minari(root: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> Path:
    """Writes a dataset with the metadata of Minari 0.5.4 and some changes. Returns its folder."""
    foreign_minari(root, monkeypatch)
    path = root / "toy/walk-v1/data/metadata.json"
    metadata = json.loads(path.read_text("utf-8")) | {"minari_version": "0.5.4", "jpeg_encoding": True} | changes
    path.write_text(json.dumps(metadata), "utf-8")
    return path.parent


def foreign_jat(folder: Path, **columns: Any) -> None:
    """Writes two episodes with every column but images and discrete actions. columns: replace or extend them."""
    rows = {
        "continuous_observations": [[[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]], [[6.0, -7.0], [8.0, 9.0]]],
        "discrete_observations": [[[1, 5], [0, 0], [2, 2]], [[0, 1], [1, 0]]],
        "text_observations": [["go", "go", "go"], ["stop", "stop"]],
        "continuous_actions": [[[0.5], [-2.0], [0.0]], [[1.0], [1.5]]],
        "rewards": [[0.0, 0.0, 1.0], [0.0, 0.5]],
    } | columns
    folder.mkdir(parents=True)
    pq.write_table(pa.table(rows), folder / "train-00000-of-00001.parquet")
    (folder / "test-00000-of-00001.parquet").write_bytes(b"not read")


def jat_images(folder: Path, cells: list[dict[str, Any]]) -> None:
    """Writes one episode whose observations are images, given as {bytes, path}."""
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
