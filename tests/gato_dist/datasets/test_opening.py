"""What docs/reference/dataset-format.md and a dataset's card say of other tools runs as it stands there, with none of our code."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from gato_dist.datasets.card import make_card, write_card
from gato_dist.datasets.page import make_page
from gato_dist.episode import Episode, Provenance
from gato_dist.plots.charts import distributions_svg
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from replay.dataset.dataset import Dataset
from replay.dataset.summary import summarize
from replay.dataset.writing import Source, write_dataset
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
# What must hold after each library's block: of the card's, and of the page's.
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
    source = Provenance(spec.name, seed, "bot", "abc", created="2026-11-21T00:00:00+00:00")
    return Episode(seen, actions, actions, np.ones(steps, np.float32), True, True, source)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("opening") / "DATA"
    write_dataset(root, [Source(spec, [made(spec, i) for i in range(20)]) for spec in TASKS], "expert", "")
    write_card(Dataset.open(root))
    return root


def blocks(text: str) -> dict[str, str]:
    """Python blocks by the library that they open a dataset with."""
    found = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return {name: block for block in found for name in FOUND if re.search(rf"^import {name}$", block, re.MULTILINE)}


def run(text: str, holds: list[dict[str, str]], folder: Path, cache: Path) -> None:
    """Every library's block, one after the other in one interpreter, and what must hold after each."""
    parts = []
    for library, block in blocks(text).items():
        parts += [block, *(f"assert {each[library]}, {library!r}" for each in holds)]
    parts.append("import sys\nassert not {'gato_dist', 'replay'} & set(sys.modules)")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    env |= {"HF_HOME": str(cache), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}
    words = [sys.executable, "-c", "\n".join(parts)]
    done = subprocess.run(words, capture_output=True, text=True, cwd=folder, env=env, timeout=300)
    assert done.returncode == 0, done.stderr


def test_the_page_opens_a_dataset_with_each_library_that_it_names(data, tmp_path):
    assert blocks(PAGE.read_text()).keys() == FOUND.keys()
    run(PAGE.read_text(), [MORE], data.parent, tmp_path)


def test_the_card_opens_its_own_dataset_with_each_library_that_it_names(data, tmp_path):
    card = (data / "README.md").read_text()
    assert blocks(card).keys() == FOUND.keys()
    run(card, [FOUND], data.parent, tmp_path)


@pytest.mark.parametrize("name", ["gymnasium/seek:make", "gymnasium/Große.Übung+x:make", "con/x"])
def test_the_card_opens_a_dataset_of_a_task_with_an_odd_name(name, tmp_path):
    spec = replace(TASKS[1], name=name)
    write_dataset(tmp_path / "DATA", [Source(spec, [made(spec, i) for i in range(20)])], "expert", "")
    dataset = Dataset.open(tmp_path / "DATA")
    write_card(dataset)
    assert list(dataset.shards) == [name]
    run((tmp_path / "DATA/README.md").read_text("utf-8"), [FOUND], tmp_path, tmp_path)


def test_the_card_says_what_the_manifests_do(data):
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


def test_a_card_and_a_page_show_what_a_spec_says_and_never_obey_it(tmp_path):
    spiteful = "a|b<script>alert(1)</script>`\n---\n[x](http://x)"
    spec = TaskSpec("toy/arm", (ObservationSpec(spiteful, Modality.CONTINUOUS, (2,)),), PRESS, 0)
    seen = {spiteful: np.zeros((2, 2), np.float32)}
    press = np.array([0, 1])
    source = Provenance("toy/arm", 0, spiteful, spiteful, versions={spiteful: spiteful})
    episode = Episode(seen, press, press, np.ones(2, np.float32), True, None, source)
    write_dataset(tmp_path / "a<b>`c", [Source(spec, [episode])], spiteful, spiteful)
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


def test_a_page_draws_each_tasks_returns_and_lengths(data):
    tasks = summarize(Dataset.open(data))
    drawn = ElementTree.fromstring(distributions_svg([(t.spec.name, t.returns, t.lengths) for t in tasks]))
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert [t for t in texts if t.endswith("episodes") and ":" in t] == [f"{spec.name}: 20 episodes" for spec in TASKS]
    assert [texts.count(said) for said in ("return: mean 12.5", "steps: mean 12.5")] == [2, 2]
    bars = [rect for rect in drawn.iter("{http://www.w3.org/2000/svg}rect") if rect.get("fill")]
    # 20 different values in 10 bins, of two histograms for two tasks
    assert len(bars) == 40
    assert len({rect.get("height") for rect in bars}) == 1


def test_returns_that_are_all_one_value_are_drawn_too():
    drawn = distributions_svg([("toy/arm", np.array([2.0, np.nan, 2.0]), np.array([5, 5, 5]))])
    assert "return: mean 2" in drawn
    assert "nan" not in drawn
