"""Damaged and malicious files: refused in one line, without executing code or writing elsewhere."""

import base64
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from gato_dist.cli.main import main
from gato_dist.config.run_config import load_config, parse_config
from gato_dist.datasets.card import make_card
from gato_dist.datasets.page import write_page
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.records.cost import Cost
from gato_dist.report.compare import compare_runs
from gato_dist.scores.references import load_reference
from gato_dist.scores.results import EpisodeLog
from gato_dist.scores.table import ScoreTable
from gato_dist.specs import TaskSpec
from gato_dist.tasks import task_table
from gato_dist.tokens.text import TextTokenizer
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.manifest import seal
from gato_dist.utils.typed_json import as_numbers
from learner.best_weights import read_best
from learner.checkpoint import export_weights, read_contents
from learner.weights_file import _checksum, read_weights_file
from replay.dataset.dataset import Dataset, read_settings
from replay.dataset.shards import Shard, write_shard
from replay.dataset.validation import _entry_faults
from replay.dataset.writing import EpisodeStream, write_dataset
from replay.formats.minari_export import export_minari
from tests.gato_dist.report.test_run_page import make_run, page_of, row
from tests.learner.test_checkpoint import small_folder
from tests.support.episodes import episode
from tests.support.fakes import ARM

BEST = {"checkpoint": "w", "step": 1, "weights_version": 1, "oldest_version": 1, "fraction": 0.5}
DEEP = "[" * 100_000 + "]" * 100_000
SCRIPT = "<script>alert(1)</script>"


def change(path: Path, *keys, to) -> None:
    """Replaces one value of a JSON file."""
    data = json.loads(path.read_text(encoding="utf-8"))
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(data), encoding="utf-8")


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("good")
    small_folder(root / "checkpoints", 1)
    export_weights(root / "checkpoints/step-00000001", root / "weights.safetensors")
    return root


@pytest.fixture
def checkpoint(good, tmp_path) -> Path:
    return Path(shutil.copytree(good / "checkpoints/step-00000001", tmp_path / "step-00000001"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("tokenizer.json", "{}"), ("tokenizer.json", DEEP), ("tokenizer.json", "[1]"), ("counters.json", "[]"),
        ("counters.json", '{"step": "x"}'), ("counters.json", DEEP), ("config.yaml", DEEP), ("text.model", ""),
    ],
)  # fmt: skip
def test_a_checkpoint_with_wrong_contents_and_matching_checksums_is_refused(checkpoint, name, text):
    (checkpoint / name).write_text(text)
    (checkpoint / "manifest.json").unlink()
    seal(checkpoint)
    with pytest.raises(InputError, match="step-00000001"):
        read_contents(checkpoint)


@pytest.mark.parametrize(
    "text", [DEEP, '{"format": 1}', '{"format": "gato_dist checkpoint 1", "files": {"a": 3}}', "7"]
)
def test_an_invalid_manifest_is_refused(checkpoint, text):
    (checkpoint / "manifest.json").write_text(text)
    with pytest.raises(InputError, match="manifest"):
        read_contents(checkpoint)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tokenizer", "{}"), ("tokenizer", "not JSON"), ("counters", "[1]"), ("config", DEEP), ("text_model", "!")],
)
def test_exported_weights_with_wrong_metadata_and_a_matching_checksum_are_refused(good, tmp_path, key, value):
    with safe_open(good / "weights.safetensors", "pt") as file:
        metadata = dict(file.metadata())
    weights = load_file(good / "weights.safetensors")
    del metadata["sha256"]
    metadata[key] = value
    save_file(weights, tmp_path / "w.safetensors", metadata | {"sha256": _checksum(metadata, weights)})
    with pytest.raises(InputError, match=r"w\.safetensors"):
        read_weights_file(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "note",
    [
        DEEP,
        "[]",
        '{"checkpoint": "w"}',
        json.dumps(BEST | {"fraction": "x"}),
        json.dumps(BEST | {"checkpoint": "../w"}),
    ],
)
def test_a_damaged_note_of_the_best_weights_is_ignored(tmp_path, note):
    (tmp_path / "w").touch()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.json").write_text(note)
    assert read_best(tmp_path / "checkpoints") is None


@pytest.mark.parametrize(
    "data", [b"", b"\xfa" * 40, base64.b64encode(b"nothing"), TextTokenizer.load().model_bytes[:99]]
)
def test_an_invalid_text_model_is_refused(tmp_path, data):
    (tmp_path / "a.model").write_bytes(data)
    with pytest.raises(InputError, match=r"a\.model"):
        TextTokenizer.load(tmp_path / "a.model")


BOMB = "\n".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9) if i else 'x'}]" for i in range(9))
DOUBLING = "\n".join(f"k{i}: ${{k{i - 1}}}${{k{i - 1}}}" if i else "k0: xxxxxxxx" for i in range(40))


@pytest.mark.parametrize("text", [f"name: {DEEP}", f"name: {DEEP[:3000]}", BOMB, DOUBLING], ids=str.__len__)
def test_a_configuration_that_would_fill_memory_or_stack_is_refused(tmp_path, text):
    (tmp_path / "t.yaml").write_text(text)
    with pytest.raises(InputError, match=r"t\.yaml"):
        load_config(tmp_path / "t.yaml")


def test_an_override_that_is_nested_too_deep_is_refused(tmp_path):
    (tmp_path / "t.yaml").write_text("name: t\n")
    with pytest.raises(InputError, match=r"^name: .*nest"):  # in our words, or in those of a libyaml that counts levels
        load_config(tmp_path / "t.yaml", [f"name={DEEP}"])


@pytest.mark.parametrize("text", ["{}", "[]", DEEP, '{"random": 1, "expert": 2, "moments": 3}'])
def test_invalid_reference_scores_are_refused(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gato_tasks/references").mkdir(parents=True)
    (tmp_path / f"gato_tasks/references/{task_file_name('gymnasium/Mine-v0')}.json").write_text(text)
    with pytest.raises(InputError, match=r"gymnasium\.Mine-v0~\w+\.json: not"):
        load_reference("gymnasium/Mine-v0")


@pytest.mark.parametrize(
    "line", ["{env: 3}", "{env: a, expert_options: 4}", "{env: a, 5: 6}", DEEP[:9000] + DEEP[-9000:]]
)
def test_a_users_tasks_of_wrong_types_are_refused(tmp_path, monkeypatch, line):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gato_tasks").mkdir()
    (tmp_path / "gato_tasks/mine.yaml").write_text(f"tasks: {{one: {line}}}\n")
    task_table.cache_clear()
    with pytest.raises(InputError, match=r"mine\.yaml"):
        task_table()
    monkeypatch.undo()
    task_table.cache_clear()


def test_a_users_task_with_unknown_options_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gato_tasks").mkdir()
    (tmp_path / "gato_tasks/mine.yaml").write_text("family: ale\ntasks: {pong: {env: Pong-v5, options: {a: 1}}}\n")
    task_table.cache_clear()
    with pytest.raises(InputError, match="mine/pong"):
        task_spec("mine/pong")
    monkeypatch.undo()
    task_table.cache_clear()


@pytest.mark.parametrize("damage", [b"\xe8", b"\n1,2,3", b"\na\0b" + b",1" * 11, b'\n"' + b"x" * 200_000])
def test_invalid_scores_are_refused(tmp_path, damage):
    make_run(tmp_path, [row()])
    path = tmp_path / "scores.csv"
    path.write_bytes(path.read_bytes() + damage)
    with pytest.raises(InputError, match=r"scores\.csv"):
        ScoreTable.read(path)


def test_results_and_costs_of_wrong_types_are_refused(tmp_path):
    make_run(tmp_path, [row()])
    good = dict(zip(ScoreTable.COLUMNS, ("1", "1", "a/b", "a", "2", *["0.5"] * 7), strict=True))
    log = good | {"returns": "12", "successes": None, "tokens": 1, "seconds": 1}
    for line in (json.dumps(log), DEEP, "[]", json.dumps(log | {"returns": [[1]]})):
        (tmp_path / "episodes.jsonl").write_text(line)
        with pytest.raises(InputError, match=r"episodes\.jsonl"):
            EpisodeLog(tmp_path / "episodes.jsonl").read()
    for text in ('{"starts": "x"}', '{"versions": 3}', DEEP, "[]"):
        (tmp_path / "cost.json").write_text(text)
        with pytest.raises(InputError, match=r"cost\.json"):
            Cost.load(tmp_path / "cost.json")


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("name",), "../../x"), (("name",), "/etc/x"), (("name",), ".."), (("name",), "a/b\n"), (("name",), "a" * 999),
        (("observations", 0, "shape"), [10**9, 10**9, 3]), (("observations", 0, "shape"), [-1]),
        (("observations", 0, "modality"), "smell"), (("action", "shape"), [5]), (("action", "low"), None),
    ],
)  # fmt: skip
def test_an_invalid_task_layout_is_refused(keys, value):
    data = json.loads(json.dumps(ARM.to_dict()))
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with pytest.raises(ValueError):
        TaskSpec.from_dict(data)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("episodes", 0, "steps"), "many"), (("episodes", 0, "first_group"), -3), (("episodes", 0, "provenance"), []),
        (("spec",), {}), (("dropped",), 3), (("bytes",), "x"), (("episodes", 0, "steps"), 0),
    ],
)  # fmt: skip
def test_a_manifest_of_wrong_types_is_refused(tmp_path, keys, value):
    write_shard(tmp_path / "a", ARM, {0: episode(9, 0)})
    change(tmp_path / "a.json", *keys, to=value)
    with pytest.raises(InputError, match=r"a\.json"):
        Shard(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("column", "values"),
    [("action", np.zeros(9)), ("action", [[b"\x80\x04"] * 4] * 9), ("reward", ["x"] * 9), ("step", None)],
    ids=["another shape", "bytes", "words", "missing"],
)
def test_the_error_names_steps_that_do_not_fit_the_task(tmp_path, column, values):
    write_shard(tmp_path / "a", ARM, {0: episode(9, 0)})
    table = pq.read_table(tmp_path / "a.parquet")
    at = table.column_names.index(column)
    table = table.remove_column(at) if values is None else table.set_column(at, column, pa.array(values))
    pq.write_table(table, tmp_path / "a.parquet")
    shard = Shard(tmp_path / "a.json")
    (entry,) = shard.manifest.entries
    assert any("cannot be read as its task's" in fault for fault in _entry_faults(shard, entry))
    if values is not None:
        with pytest.raises(InputError, match=r"a\.parquet"):
            shard.episode(entry)


@pytest.mark.parametrize("dtype", ["V8", "O", "complex64", 3, "no type"])
def test_numbers_are_not_read_as_another_kind_of_data(dtype):
    with pytest.raises((ValueError, TypeError)):
        as_numbers(np.zeros(3), dtype)


def test_an_impossible_file_name_is_an_input_error(capsys):
    assert main(["report", "a" * 5000]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_a_preset_that_is_not_a_name_is_refused():
    with pytest.raises(InputError, match=r"model\.preset"):
        parse_config({"name": "t", "tasks": [{"name": "metaworld/reach-v3"}], "model": {"preset": [1]}}, "test")


@pytest.mark.parametrize(
    ("key", "value"), [("episodes", [1]), ("steps", {"a": "x"}), ("checkpoint", 3), ("experts", 7)]
)
def test_settings_of_a_dataset_of_wrong_types_are_refused(tmp_path, key, value):
    write_dataset(tmp_path / "set", [EpisodeStream(ARM, [episode(5, 0)])], "fake", "by hand")
    change(tmp_path / "set/dataset.json", key, to=value)
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_settings(tmp_path / "set")


def test_a_dataset_with_an_absolute_path_as_a_task_is_not_exported_there(tmp_path):
    write_dataset(tmp_path / "set", [EpisodeStream(ARM, [episode(5, 0)])], "fake", "by hand")
    (manifest,) = (tmp_path / "set/toy.arm").glob("*.json")
    change(manifest, "spec", "name", to=f"{tmp_path}/escaped")
    with pytest.raises(InputError, match="not a valid task name"):
        export_minari(Dataset.open(tmp_path / "set"), tmp_path / "minari")
    assert {path.name for path in tmp_path.iterdir()} == {"set"}


def test_names_in_datasets_and_runs_are_not_interpreted_as_markup(tmp_path):
    write_dataset(tmp_path / "set", [EpisodeStream(ARM, [episode(5, 0)])], SCRIPT, SCRIPT)
    (manifest,) = (tmp_path / "set/toy.arm").glob("*.json")
    change(manifest, "spec", "name", to=f"toy/{SCRIPT}")
    change(manifest, "spec", "observations", 0, "name", to=SCRIPT)
    change(manifest, "episodes", 0, "provenance", "policy", to=SCRIPT)
    change(manifest, "episodes", 0, "provenance", "versions", to={SCRIPT: SCRIPT})
    dataset = Dataset.open(tmp_path / "set")
    write_page(dataset, tmp_path / "page.html")
    named = tmp_path / "<u>run"
    named.mkdir()
    make_run(named, [row(f"ale/{SCRIPT}")], f"name: {SCRIPT}\ncorpora: [{{name: {SCRIPT}}}]\n")
    Cost(
        starts=1,
        env_steps=2,
        tokens=3,
        training_seconds=4.0,
        seconds=5.0,
        kwh=0.1,
        hardware=SCRIPT,
        versions={SCRIPT: SCRIPT},
    ).save(named / "cost.json")
    compare_runs([named, named], tmp_path / "compare.html")
    pages = [(tmp_path / "page.html").read_text(), page_of(named), (tmp_path / "compare.html").read_text()]
    for page in [*pages, make_card(dataset)]:
        assert "<script" not in page
        assert "<u>" not in page
        assert "&lt;script&gt;" in page
