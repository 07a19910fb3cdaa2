"""JSON that every reader takes."""

import json
import re

import numpy as np
import pytest

from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.utils.typed_json import read_as, to_json
from replay.dataset.shards import Manifest
from tests.support.fakes import BUTTONS
from tests.support.paths import ROOT


def strict(text: str):
    """Raises ValueError for NaN and Infinity, which Python's own reader takes."""

    def refuse(word: str):
        raise ValueError(word)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 1.5])
def test_infinite_bounds_come_back_from_a_manifest_that_every_reader_takes(tmp_path, value):
    low = min(value, 0.0)
    action = ActionSpec(Modality.CONTINUOUS, (2,), low=(low, -1.0), high=(max(value, 0.0), float("inf")))
    spec = TaskSpec("toy/reach", (ObservationSpec("at", Modality.CONTINUOUS, (2,)),), action, 5)
    text = Manifest(spec=spec, sha256="", bytes=0, entries=()).to_json()
    assert TaskSpec.from_dict(strict(text)["spec"]) == spec
    (tmp_path / "a.json").write_text(text)
    assert Manifest.load(tmp_path / "a.json").spec == spec


def test_numbers_that_json_lacks_are_text_that_is_read_as_numbers():
    text = to_json({"a": [1.0, float("nan")], "b": {"c": (float("-inf"),)}})
    assert strict(text) == {"a": [1.0, "nan"], "b": {"c": ["-inf"]}}
    assert np.isnan(read_as(tuple[float, ...], strict(text)["a"])[1])
    assert read_as(tuple[float, ...], strict(text)["b"]["c"]) == (float("-inf"),)


def test_finite_data_is_written_as_json_writes_it():
    data = BUTTONS.to_dict()
    assert to_json(data, indent=1) == json.dumps(data, indent=1)


def test_all_json_is_written_in_one_place():
    """What calls json.dumps itself may write NaN, which is no JSON."""
    sources = [path for name in ("gato_dist", "actors", "learner", "replay") for path in (ROOT / name).rglob("*.py")]
    writers = [path.name for path in sources if re.search(r"\bjson\.dumps?\(", path.read_text("utf-8"))]
    assert writers == ["plain.py"]
