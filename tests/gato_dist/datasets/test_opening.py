"""Code in docs/reference/dataset-format.md and in dataset cards opens a dataset with other libraries alone."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from gato_dist.datasets.card import make_card, write_card
from gato_dist.datasets.page import make_page
from gato_dist.episode import Episode, Provenance
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.summary import summarize
from replay.dataset.writing import EpisodeStream, write_dataset
from tests.support.paths import ROOT

PAGE = ROOT / "docs" / "reference" / "dataset-format.md"
PRESS = ActionSpec(Modality.DISCRETE, (), (7,))
TASKS = (
    TaskSpec(
        "babyai/go-to-local",
        (ObservationSpec("mission", Modality.TEXT), ObservationSpec("grid", Modality.DISCRETE, (7, 7, 3), 11)),
        PRESS,
        64,
    ),
    TaskSpec("procgen/coinrun", (ObservationSpec("image", Modality.IMAGE, (64, 64, 3)),), PRESS, 0),
)
# What must be true after each library's code: in the card, and in addition on the page.
FOUND = {
    "pyarrow.dataset": "len(steps) == 250",
    "pandas": "len(steps) == 250",
    "polars": "len(steps) == 250",
    "datasets": "steps.num_rows == 250",
}
MORE = {
    "pandas": "returns.tolist() == [3.0 + i for i in range(20)]",
    "pyarrow.dataset": "returns[3] == 6.0 and grids.shape == (250, 7, 7, 3) and grids[0, 0, 0].tolist() == [0, 1, 2]",
    "polars": "returns['reward'].to_list() == [3.0 + i for i in range(20)]",
    "datasets": "frame.tolist() == np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3).tolist()",
}


def made(spec: TaskSpec, seed: int) -> Episode:
    steps = 3 + seed
    parts = {
        "mission": ["go to the ball"] * steps,
        "grid": np.arange(steps * 147).reshape(steps, 7, 7, 3) % 11,
        "image": np.arange(steps * 64 * 64 * 3).astype(np.uint8).reshape(steps, 64, 64, 3),
    }
    seen = {part.name: parts[part.name] for part in spec.observations}
    actions = np.arange(steps) % 7
    source = Provenance(task=spec.name, seed=seed, policy="bot", policy_hash="abc", created="2026-11-21T00:00:00+00:00")
    return Episode(seen, actions, actions, np.ones(steps, np.float32), True, True, source)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("opening") / "DATA"
    write_dataset(root, [EpisodeStream(spec, [made(spec, i) for i in range(20)]) for spec in TASKS], "expert", "")
    write_card(Dataset.open(root))
    return root


def blocks(text: str) -> dict[str, str]:
    """Python code by the library that opens the dataset in it."""
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return {name: block for block in found for name in FOUND if re.search(rf"^import {name}$", block, re.MULTILINE)}


def run(text: str, holds: list[dict[str, str]], folder: Path, cache: Path) -> None:
    """Runs every library's code in one interpreter, and checks what must be true after each."""
    parts = []
    for library, block in blocks(text).items():
        parts += [block, *(f"assert {each[library]}, {library!r}" for each in holds)]
    parts.append("import sys\nassert not {'gato_dist', 'replay'} & set(sys.modules)")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    words = [sys.executable, "-c", "\n".join(parts)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=env, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_code_on_the_page_opens_a_dataset_with_each_library(data, tmp_path):
    assert blocks(PAGE.read_text()).keys() == FOUND.keys()
    run(PAGE.read_text(), [MORE], data.parent, tmp_path)


def test_the_code_in_the_card_opens_its_dataset_with_each_library(data, tmp_path):
    card = (data / "README.md").read_text()
    assert blocks(card).keys() == FOUND.keys()
    run(card, [FOUND], data.parent, tmp_path)


@pytest.mark.parametrize("name", ["gymnasium/seek:make", "gymnasium/Große.Übung+x:make", "con/x"])
def test_the_code_in_the_card_opens_a_task_with_an_unusual_name(name, tmp_path):
    spec = replace(TASKS[1], name=name)
    write_dataset(tmp_path / "DATA", [EpisodeStream(spec, [made(spec, i) for i in range(20)])], "expert", "")
    dataset = Dataset.open(tmp_path / "DATA")
    write_card(dataset)
    assert list(dataset.shards) == [name]
    run((tmp_path / "DATA/README.md").read_text("utf-8"), [FOUND], tmp_path, tmp_path)


def test_the_card_agrees_with_the_manifests(data):
    text = (data / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["configs"][1] == {
        "config_name": "procgen.coinrun",
        "data_files": [{"split": "train", "path": "procgen.coinrun/*.parquet"}],
    }
    assert front["size_categories"] == ["n<1K"]
    assert front["license"] == "other"
    assert "| babyai/go-to-local | 20 | 250 | 12.50 ± 5.77 | 3.00 … 22.00 | 100% |" in text
    assert "| bot | abc |" in text
    assert "| babyai/go-to-local | observation.grid | discrete | 7×7×3 | 0 … 10 |" in text
    assert "- played: 2026-11-21 to 2026-11-21" in text
    for suite in ("babyai", "procgen"):
        assert re.search(rf"^- {suite}: .*(Apache|MIT)", text, re.MULTILINE)


def test_cards_and_pages_show_hostile_names_as_plain_text(tmp_path):
    hostile = "a|b<script>alert(1)</script>`\n---\n[x](http://x)"
    spec = TaskSpec("toy/arm", (ObservationSpec(hostile, Modality.CONTINUOUS, (2,)),), PRESS, 0)
    seen = {hostile: np.zeros((2, 2), np.float32)}
    press = np.array([0, 1])
    source = Provenance(task="toy/arm", seed=0, policy=hostile, policy_hash=hostile, versions={hostile: hostile})
    episode = Episode(seen, press, press, np.ones(2, np.float32), True, None, source)
    write_dataset(tmp_path / "a<b>`c", [EpisodeStream(spec, [episode])], hostile, hostile)
    dataset = Dataset.open(tmp_path / "a<b>`c")
    card = make_card(dataset)
    assert "<script" not in card
    assert "[x](http" not in card
    assert card.count("\n---\n") == 1
    (row,) = [line for line in card.splitlines() if line.startswith("| toy/arm | observation")]
    assert len(re.split(r"(?<!\\)\|", row)) == 7
    page = make_page(dataset.root.name, summarize(dataset))
    assert "<script" not in page
    assert "<b>" not in page
    assert "a|b&lt;script&gt;" in page
