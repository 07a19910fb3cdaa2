"""JSON that every reader accepts, also with infinite numbers."""

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
def test_infinite_bounds_survive_a_manifest_in_standard_json(tmp_path, value):
    low = min(value, 0.0)
    action = ActionSpec(Modality.CONTINUOUS, (2,), low=(low, -1.0), high=(max(value, 0.0), float("inf")))
    spec = TaskSpec("toy/reach", (ObservationSpec("at", Modality.CONTINUOUS, (2,)),), action, 5)
    text = Manifest(spec=spec, sha256="", bytes=0, entries=()).to_json()
    assert TaskSpec.from_dict(strict(text)["spec"]) == spec
    (tmp_path / "a.json").write_text(text)
    assert Manifest.load(tmp_path / "a.json").spec == spec


def test_nan_and_infinity_are_written_as_strings_and_read_as_numbers():
    text = to_json({"a": [1.0, float("nan")], "b": {"c": (float("-inf"),)}})
    assert strict(text) == {"a": [1.0, "nan"], "b": {"c": ["-inf"]}}
    assert np.isnan(read_as(tuple[float, ...], strict(text)["a"])[1])
    assert read_as(tuple[float, ...], strict(text)["b"]["c"]) == (float("-inf"),)


def test_finite_data_is_written_as_by_json_dumps():
    data = BUTTONS.to_dict()
    assert to_json(data, indent=1) == json.dumps(data, indent=1)


def test_only_typed_json_calls_json_dumps():
    """json.dumps alone can write NaN, which is not valid JSON."""
    sources = [path for name in ("gato_dist", "actors", "learner", "replay") for path in (ROOT / name).rglob("*.py")]
    writers = [path.name for path in sources if re.search(r"\bjson\.dumps?\(", path.read_text("utf-8"))]
    assert writers == ["typed_json.py"]
