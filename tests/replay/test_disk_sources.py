"""A dataset in addition to live experts: opened from any location, refused if it does not fit."""

import os
from dataclasses import replace

import pytest

from gato_dist.config.data_sections import TaskConfig
from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.errors import InputError
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from replay.dataset.dataset import FORMAT, SETTINGS
from replay.dataset.shards import write_shard
from replay.dataset.storage import Location
from replay.disk_sources import disk_shares, open_dataset
from tests.support.episodes import episode
from tests.support.fakes import BUTTONS

SPEC = replace(BUTTONS, name="babyai/go-to-local")


def config_of(path: object) -> RunConfig:
    tasks = [{"name": "babyai/go-to-local"}, {"name": "babyai/open"}]
    return parse_config({"name": "t", "tasks": tasks, "data": {"path": str(path), "share": 0.3}}, "test")


def tokenizer_of(spec) -> Tokenizer:
    return Tokenizer([spec], TextTokenizer.load(), scheme="disjoint", encoding="compact", statistics={})


def write(root: Location) -> None:
    played = episode(5, 0)
    lights = replace(played, observations={"light": played.observations["gripper"] % 3})
    steps = replace(lights, actions=lights.observations["light"], targets=lights.observations["light"])
    write_shard(root / "babyai.go-to-local/000000", SPEC, {0: steps})
    (root / SETTINGS).write_text(f'{{"format": "{FORMAT}"}}')


@pytest.mark.parametrize("location", ["{}/data", "file://{}/data", "memory://{}/data"])
def test_a_dataset_is_opened_from_a_path_or_a_url(tmp_path, location):
    root = Location.of(location.format(tmp_path))
    write(root)
    config = config_of(root if "memory" in location else location.format(tmp_path))
    dataset = open_dataset(config.tasks, config.data, tokenizer_of(SPEC))
    assert disk_shares(config.tasks, config.data, dataset) == [0.3, 0.0]


def test_a_dataset_with_another_layout_or_without_the_tasks_is_refused(tmp_path):
    write(Location.of(tmp_path / "data"))
    config = config_of(tmp_path / "data")
    other = replace(SPEC, observations=(replace(SPEC.observations[0], num_values=4),))
    with pytest.raises(InputError, match=r"data.path: babyai/go-to-local has another layout"):
        open_dataset(config.tasks, config.data, tokenizer_of(other))
    elsewhere = [TaskConfig(name="babyai/open")]
    with pytest.raises(InputError, match=r"data.path: .* it has babyai/go-to-local"):
        open_dataset(elsewhere, config.data, tokenizer_of(SPEC))


def test_relative_paths_become_absolute_and_urls_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    corpus = {"name": "c", "kind": "text", "paths": ["books/*.txt"]}
    config = parse_config({"name": "t", "corpora": [corpus], "data": {"path": "data"}}, "test").with_absolute_paths()
    assert config.data.path == os.path.abspath("data")
    assert config.corpora[0].paths == (str(tmp_path / "books/*.txt"),)
    assert config_of("s3://bucket/data").with_absolute_paths().data.path == "s3://bucket/data"
