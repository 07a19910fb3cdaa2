"""Every kind of input that a user may have been given: how it is made bad, and what reads it."""

import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from gato_dist.cli import _parse
from gato_dist.config import load_config
from gato_dist.config_sections import CorpusConfig
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.scores import load_reference
from gato_dist.tasks import match_tasks, task_entry, task_table
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.layout import Vocabulary
from gato_dist.tokens.text import TextTokenizer
from learner.checkpoint import load_for_acting
from learner.checkpoint_folder import best_name
from learner.seal import seal
from replay.corpora.chunks import CorpusChunks, open_corpus
from replay.dataset import Dataset
from replay.storage import Location
from tests.fuzz.harness import command, hostile_pickle
from tests.fuzz.inputs import NAMES, TREES, damaged, deep, json_bytes, tampered

Draw = Callable[[Any], Any]
Act = Callable[[], None]
Kind = Callable[[Draw, Path], Act]
CONFIG = {
    "name": "t", "seed": 0, "tasks": [{"name": "metaworld/reach-v3", "weight": 1.0, "expert_options": {}}],
    "corpora": [{"name": "c", "kind": "text", "paths": ["c.txt"]}],
    "tokens": {"length": 64, "image_size": [16, 16], "text": "default"}, "model": {"width": 32, "layers": 1, "heads": 2},
    "learner": {"steps": 1, "batch": 4}, "replay": {"size": 10, "min_size": 1, "ahead": 5, "allow": ["10.0.0.0/8"]},
    "data": {"path": "d", "share": 0.5}, "evaluation": {"episodes": 1}, "ray": {"address": None},
}  # fmt: skip
TEXT = TextTokenizer.load()


class Makings:
    """Good things to be made bad, made once. root: a folder for them."""

    def __init__(self, root: Path) -> None:
        from gato_dist.scores import ScoreTable
        from learner.checkpoint import export
        from replay.interop import Source, write_dataset
        from replay.jat import export_jat
        from replay.minari_write import export_minari
        from tests.fakes import ARM, BUTTONS
        from tests.gato_dist.test_report import row
        from tests.learner.test_checkpoint import small_folder
        from tests.replay.test_interop import arm, buttons

        # Whatever libraries do as they are loaded is none of an input's doing.
        for task in ("procgen/coinrun", "sokoban/boxoban", "dm_control/cartpole-swingup", "metaworld/reach-v3"):
            task_spec(task)
        self.root = root
        small_folder(root / "checkpoints", 1)
        self.checkpoint = next((root / "checkpoints").glob("step-*"))
        export(self.checkpoint, root / "weights.safetensors")
        self.dataset = root / "set"
        write_dataset(
            self.dataset,
            [Source(ARM, [arm(5, i) for i in range(3)]), Source(BUTTONS, [buttons(5, i) for i in range(3)])],
            "fake", "by hand",
        )  # fmt: skip
        export_jat(Dataset.open(self.dataset), root / "jat")
        export_minari(Dataset.open(self.dataset), root / "minari")
        self.run = root / "run"
        self.run.mkdir()
        table = ScoreTable(self.run / "scores.csv")
        table.append(row())
        table.append(row("toy/arm", None))
        (self.run / "config.yaml").write_text("name: small\nseed: 0\n")
        self._episodes(table.rows[0])

    def _episodes(self, row: Any) -> None:
        from gato_dist.cost import Cost
        from gato_dist.results import EpisodeLog, TaskResult

        EpisodeLog(self.run / "episodes.jsonl").append(TaskResult(row, (1.0, 2.0), (True, False), 10, 1.0))
        Cost(1, 2, 3, 4.0, 5.0, "a", {"b": "c"}).save(self.run / "cost.json")


def kinds(makings: Makings) -> dict[str, Kind]:
    """Name → what draws one input, writes it into a folder and returns what reads it."""
    return {
        "config": _config, "override": _override, "arguments": _arguments, "task glob": _glob, "task file": _task_file,
        "reference": _reference, "url": _url, "tokenizer": _tokenizer,
        "checkpoint": lambda draw, folder: _checkpoint(draw, folder, makings.checkpoint),
        "exported weights": lambda draw, folder: _weights(draw, folder, makings.root / "weights.safetensors"),
        "dataset": lambda draw, folder: _dataset(draw, folder, makings.dataset),
        "run folder": lambda draw, folder: _run(draw, folder, makings.run),
        "JAT": lambda draw, folder: _jat(draw, folder, makings.root / "jat"),
        "Minari": lambda draw, folder: _minari(draw, folder, makings.root / "minari"),
        "corpus": _corpus,
    }  # fmt: skip


def _config(draw: Draw, folder: Path) -> Act:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        data = draw(damaged(yaml.safe_dump(CONFIG).encode()))
    elif kind == 1:
        tags = [
            "!!python/object/apply:os.system ['touch ../executed']",
            "!!python/name:os.system",
            "!!binary x",
            "&a [*a]",
            "<<: *b",
        ]
        tags += [deep(3000), "{" * 3000, "a: &a [x, x]\nb: &b [*a, *a]\nname: *b", "${" * 500, deep(100_000)]
        data = f"name: {draw(st.sampled_from(tags))}\n".encode()
    else:
        data = yaml.safe_dump(draw(tampered(CONFIG))).encode("utf-8", "replace")
    (folder / "t.yaml").write_bytes(data)
    return lambda: _take_config(folder / "t.yaml", [])


def _take_config(path: Path, overrides: list[str]) -> None:
    load_config(path, overrides)
    command("train", str(path), *overrides, "--data", "nowhere")


def _override(draw: Draw, folder: Path) -> Act:
    keys = ["name", "seed", "tasks", "tasks.0.name", "tasks[0].weight", "learner.batch", "model", "model.preset", "tokens.text", "replay.allow",
            "data.path", "corpora", "corpora.0.paths", "learner", "evaluation.temperature", "ray.address", "", ".", "a.b.c", "learner.init"]  # fmt: skip
    words = [
        draw(st.sampled_from(keys) | st.text(max_size=12)) + draw(st.sampled_from(["=", "=", "=", "", "==", "+="]))
        + draw(TREES.map(lambda tree: tree if isinstance(tree, str) else json.dumps(tree)) | st.sampled_from([deep(2000), "{a", "[1,", "!!python/name:os.system"]))
        for _ in range(draw(st.integers(1, 3)))
    ]  # fmt: skip
    (folder / "t.yaml").write_text(yaml.safe_dump(CONFIG))
    return lambda: _take_config(folder / "t.yaml", words)


def _arguments(draw: Draw, folder: Path) -> Act:
    words = ["train", "collect", "evaluate", "tasks", "experts", "score", "list", "play", "report", "compare", "diagnose", "dataset", "info",
             "validate", "merge", "card", "export", "import", "checkpoint", "generate", "model", "tokenizer", "doctor", "--tasks", "--episodes",
             "--seed", "--out", "--steps", "--workers", "--run", "--data", "--video", "--format", "jat", "-1", "1e400", "--", "key=value", "--json"]  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(words) | st.sampled_from(NAMES) | st.text(max_size=8), max_size=8))
    name = draw(st.sampled_from(NAMES) | st.text(max_size=12))
    reading = [
        ["checkpoint", "info", name], ["checkpoint", "export", name, "--out", "x.safetensors"], ["dataset", "info", name], ["report", name],
        ["compare", name, name, "--out", "x.html"], ["dataset", "card", name], ["dataset", "validate", name], ["generate", name],
        ["play", "--policy", "random", name, "--video", "x.mp4"], ["play", "--policy", "expert", "toy/none", "--video", name],
        ["evaluate", name, "--tasks", name], ["diagnose", name, name], ["dataset", "import", name, "--format", "jat", "--out", "new"],
        ["dataset", "merge", name, name, "--out", "new"], ["train", name], ["train", name, "--data", name], ["model", name],
        ["tokenizer", "train", "--input", name, "--out", "m.model"], ["experts", "score", f"none/{name}"], ["collect", name, "--episodes", "1", "--out", "d"],
    ]  # fmt: skip
    if draw(st.booleans()):
        return lambda: _parsed(chosen)
    words = draw(st.sampled_from(reading))
    if words[0] in ("play",) and (name.startswith(("ale/", "gymnasium/")) or "*" in name):
        words = ["model", name]
    return lambda: command(*words)


def _parsed(words: list[str]) -> None:
    try:
        _parse(words)
    except SystemExit as end:
        if end.code not in (0, 2):
            raise RuntimeError(f"exit code {end.code}") from end
        raise InputError("usage") from end


def _glob(draw: Draw, folder: Path) -> Act:
    text = draw(st.sampled_from(NAMES) | st.text(max_size=30) | st.from_regex(r"[a-z_*?\[\]!,/-]{0,30}"))
    name = draw(st.sampled_from(["", "gymnasium/", "ale/", "minari/"])) + text

    def act() -> None:
        for task in match_tasks(name)[:3]:
            task_entry(task)
            task_spec(task)
            load_reference(task)

    return act


def _task_file(draw: Draw, folder: Path) -> Act:
    good = {
        "family": "ale",
        "defaults": {"expert": "guided"},
        "tasks": {"pong": {"env": "Pong-v5", "options": {"a": 1}}},
    }
    (folder / "gato_tasks").mkdir()
    data = (
        draw(damaged(yaml.safe_dump(good).encode()))
        if draw(st.booleans())
        else yaml.safe_dump(draw(tampered(good))).encode("utf-8", "replace")
    )
    (folder / "gato_tasks" / "mine.yaml").write_bytes(data)

    def act() -> None:
        task_table.cache_clear()
        try:
            own = [name for name in task_table() if name.startswith("mine/")]
            for name in own[:3]:
                task_spec(name)
        finally:
            (folder / "gato_tasks" / "mine.yaml").unlink()
            task_table.cache_clear()

    return act


def _reference(draw: Draw, folder: Path) -> Act:
    score = {
        "mean": 1.0,
        "std": 0.0,
        "episodes": 1,
        "seed": 0,
        "policy": "a",
        "policy_hash": "b",
        "success": None,
        "date": "c",
    }
    good = {"random": score, "expert": score, "moments": {"state": {"count": 1, "mean": [0.0], "variance": [1.0]}}}
    (folder / "gato_tasks" / "references").mkdir(parents=True)
    (folder / "gato_tasks" / "references" / "gymnasium.Mine-v0.json").write_bytes(draw(json_bytes(good)))
    return lambda: _used(load_reference("gymnasium/Mine-v0"))


def _used(reference: Any) -> None:
    from gato_dist.scores import ScoreRow

    ScoreRow.of(1, 1, "gymnasium/Mine-v0", [1.0, 2.0], reference)
    if not reference.random_alone:
        str(reference.moments)


def _url(draw: Draw, folder: Path) -> Act:
    scheme = draw(
        st.sampled_from(
            [
                "file",
                "local",
                "foo",
                "memory",
                "data",
                "dir",
                "zip",
                "tar",
                "",
                "FILE",
                "s3 ",
                "simplecache::file",
                "../x",
                "reference",
            ]
        )
    )
    rest = draw(
        st.sampled_from(
            [
                "/x",
                "//x",
                "///x",
                "///etc/passwd",
                "//host/x",
                "///../../x",
                "//%00",
                "//[",
                "//x?y=z&",
                "///x#y",
                "//a:b@c:99999999/x",
            ]
        )
        | st.text(max_size=20)
    )
    words = draw(st.sampled_from([["dataset", "info"], ["dataset", "validate"], ["dataset", "card"]]))
    return lambda: command(*words, f"{scheme}:{rest}")


def _tokenizer(draw: Draw, folder: Path) -> Act:
    (folder / "text.model").write_bytes(draw(damaged(TEXT.model_bytes)))
    text = draw(st.text(max_size=40))

    def act() -> None:
        model = TextTokenizer.load(folder / "text.model")
        model.decode(model.encode(text))

    return act


def _checkpoint(draw: Draw, folder: Path, good: Path) -> Act:
    path = folder / "checkpoints" / good.name
    shutil.copytree(good, path)
    name = draw(st.sampled_from(sorted(file.name for file in good.iterdir())))
    _spoil(draw, path / name, folder)
    sealed = draw(st.booleans()) and name != "manifest.json"
    if sealed and all(file.is_file() for file in path.iterdir()):
        (path / "manifest.json").unlink()
        seal(path)
    if draw(st.integers(0, 5)) == 0:
        (path.parent / "best.json").write_bytes(draw(json_bytes({"checkpoint": path.name, "step": 1, "fraction": 0.5})))
    words = draw(
        st.sampled_from(
            [["checkpoint", "info", str(path)], ["checkpoint", "export", str(path), "--out", "new.safetensors"], []]
        )
    )

    def act() -> None:
        best_name(path.parent)
        if words:
            command(*words)
        else:
            load_for_acting(path)

    return act


def _spoil(draw: Draw, path: Path, folder: Path) -> None:
    """Makes one file bad, as its kind is read."""
    kind = draw(st.integers(0, 11))
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(hostile_pickle(folder))
    elif kind == 2:
        path.unlink()
        path.mkdir()
    elif path.suffix == ".json":
        path.write_bytes(draw(json_bytes(json.loads(path.read_text()))))
    elif path.suffix == ".yaml":
        path.write_bytes(yaml.safe_dump(draw(tampered(yaml.safe_load(path.read_text())))).encode("utf-8", "replace"))
    elif path.suffix == ".safetensors" and kind < 7:
        tensors = load_file(path)
        names = sorted(tensors)
        if names:
            tensors[draw(st.sampled_from(NAMES[:3] + names))] = tensors.pop(draw(st.sampled_from(names))).flatten()[:1]
        save_file(tensors, path)
    else:
        path.write_bytes(draw(damaged(path.read_bytes())))


def _weights(draw: Draw, folder: Path, good: Path) -> Act:
    path = folder / "w.safetensors"
    if draw(st.booleans()):
        path.write_bytes(draw(damaged(good.read_bytes())))
    else:
        _forge(draw, good, path)
    words = draw(st.sampled_from([["checkpoint", "info", str(path)], ["evaluate", str(path), "--tasks", "none/*"]]))
    return lambda: command(*words)


def _forge(draw: Draw, good: Path, path: Path) -> None:
    """An exported file whose sum fits what was put into it."""
    from safetensors import safe_open

    from learner.export import _sum

    with safe_open(good, "pt") as file:
        metadata = dict(file.metadata())
    weights = load_file(good)
    metadata.pop("sha256")
    name = draw(st.sampled_from(["config", "tokenizer", "counters", "text_model", "format"]))
    if name in ("config", "tokenizer", "counters"):
        metadata[name] = draw(json_bytes(json.loads(metadata[name]))).decode("utf-8", "replace")
    elif draw(st.booleans()):
        metadata.pop(name)
    else:
        metadata[name] = draw(st.text(max_size=30))
    save_file(weights, path, metadata | {"sha256": _sum(metadata, weights)})


def _dataset(draw: Draw, folder: Path, good: Path) -> Act:
    root = folder / "set"
    shutil.copytree(good, root)
    files = sorted(str(file.relative_to(root)) for file in root.rglob("*") if file.suffix in (".json", ".parquet"))
    path = root / draw(st.sampled_from(files))
    if path.suffix == ".parquet":
        path.write_bytes(_bad_parquet(draw, path))
        if draw(st.booleans()):
            manifest = json.loads(path.with_suffix(".json").read_text())
            manifest |= {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            path.with_suffix(".json").write_text(json.dumps(manifest))
    else:
        _spoil(draw, path, folder)
    commands = [["dataset", "info", "set"], ["dataset", "info", "set", "--html", "x.html"], ["dataset", "validate", "set"], ["dataset", "card", "set"],
                ["dataset", "merge", "set", "set", "--out", "new"], ["dataset", "export", "set", "--format", "jat", "--out", "new"], []]  # fmt: skip
    words = draw(st.sampled_from(commands))

    def act() -> None:
        if words:
            command(*words)
            return
        found = Dataset.open(Location.of(root))
        for task in found.shards:
            for shard in found.shards[task]:
                for entry in shard.manifest.entries:
                    shard.episode(entry)

    return act


def _bad_parquet(draw: Draw, path: Path) -> bytes:
    if draw(st.booleans()):
        return draw(damaged(path.read_bytes()))
    table = pq.read_table(path)
    name = draw(st.sampled_from(table.column_names))
    column = draw(st.sampled_from(["drop", "text", "null", "number", "list", "binary"]))
    at, count = table.column_names.index(name), len(table)
    made = {
        "text": ["<script>"] * count, "null": pa.nulls(count), "number": np.full(count, np.nan), "list": [[1.5, 2.0]] * count,
        "binary": pa.array([b"\x80\x04"] * count, pa.large_binary()),
    }  # fmt: skip
    table = table.remove_column(at) if column == "drop" else table.set_column(at, name, pa.array(made[column]))
    file = io.BytesIO()
    pq.write_table(table.slice(0, draw(st.integers(0, count))), file)
    return file.getvalue()


def _run(draw: Draw, folder: Path, good: Path) -> Act:
    root = folder / "run"
    shutil.copytree(good, root)
    name = draw(
        st.sampled_from(
            ["scores.csv", "scores.csv", "episodes.jsonl", "episodes.jsonl", "cost.json", "config.yaml", "events"]
        )
    )
    path = root / name
    if name == "events":
        (root / "tensorboard").mkdir()
        (root / "tensorboard" / "events.out.tfevents.1.x").write_bytes(draw(st.binary(max_size=80)))
    elif name == "scores.csv" and draw(st.booleans()):
        lines = path.read_text().splitlines()
        cells = lines[1].split(",")
        cells[draw(st.integers(0, len(cells) - 1))] = str(draw(TREES)).replace("\n", " ")
        path.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]), errors="replace")
    elif name == "episodes.jsonl" and draw(st.booleans()):
        path.write_bytes(draw(json_bytes(json.loads(path.read_text()))))
    else:
        _spoil(draw, path, folder)
    words = draw(st.sampled_from([["report", "run"], ["compare", "run", "run"], ["compare", "run", "--out", "x.html"]]))
    return lambda: command(*words)


def _jat(draw: Draw, folder: Path, good: Path) -> Act:
    shutil.copytree(good, folder / "theirs")
    path = draw(st.sampled_from(sorted((folder / "theirs").rglob("*.parquet"))))
    table, keep = pq.read_table(path), draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        path.write_bytes(draw(damaged(path.read_bytes())))
    else:
        footer = json.loads(pq.read_schema(path).metadata.get(b"gato_dist", b"{}")) or json.loads(
            pq.ParquetFile(path).metadata.metadata[b"gato_dist"]
        )
        extra = {b"gato_dist": draw(json_bytes(footer))} if keep else {}
        if draw(st.booleans()):
            at = draw(st.integers(0, table.num_columns - 1))
            values = draw(st.sampled_from([[1.0], ["x"], [None], [], [b"\x89PNG"], [[1.0, 2.0]], [[], [1.0]]]))
            table = table.set_column(at, table.column_names[at], pa.array([values] * len(table)))
        pq.write_table(table.replace_schema_metadata(extra), path)
    return lambda: command("dataset", "import", "theirs", "--format", "jat", "--out", "new")


def _minari(draw: Draw, folder: Path, good: Path) -> Act:
    shutil.copytree(good, folder / "theirs")
    path = draw(st.sampled_from(sorted(file for file in (folder / "theirs").rglob("*") if file.is_file())))
    _spoil(draw, path, folder)
    return lambda: command("dataset", "import", "theirs", "--format", "minari", "--out", "new")


def _corpus(draw: Draw, folder: Path) -> Act:
    kind = draw(st.sampled_from(["text", "caption", "vqa"]))
    suffix = draw(
        st.sampled_from([".jsonl", ".parquet", ".tar", ".txt"] if kind == "text" else [".jsonl", ".parquet", ".tar"])
    )
    path = folder / f"c{suffix}"
    record = {"text": "one two", "image": _picture(draw), "caption": ["a", "b"], "question": "which?", "answer": "this"}
    if suffix == ".tar":
        _write_tar(draw, path, record)
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist([record] * 3), path)
    elif suffix == ".jsonl":
        plain = record | {"image": draw(st.sampled_from([*NAMES, "../../etc/passwd", "c.jsonl"]))}
        path.write_text(
            "\n".join(json.dumps(draw(tampered(plain)) if draw(st.booleans()) else plain) for _ in range(3))
        )
    else:
        path.write_bytes(draw(st.binary(max_size=300)))
    if draw(st.integers(0, 2)) == 0:
        path.write_bytes(draw(damaged(path.read_bytes())))
    config = CorpusConfig(name="c", kind=kind, paths=(str(path),))

    def act() -> None:
        corpus = open_corpus(config)
        documents = DocumentTokenizer(TEXT, Vocabulary(TEXT.size, "disjoint"), (16, 16))
        CorpusChunks(corpus, documents, 64, 0)(0)

    return act


def _picture(draw: Draw) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    form = draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "PPM", "TIFF", "WEBP"]))
    Image.new("RGB", (draw(st.integers(1, 40)), 8), (1, 2, 3)).save(file, form)
    kind = draw(st.integers(0, 5))
    if kind == 0:
        # Says that it is far larger than memory.
        return b"P6 100000 100000 255\n" + bytes(10)
    return file.getvalue() if kind < 2 else draw(damaged(file.getvalue()))


def _write_tar(draw: Draw, path: Path, record: dict[str, Any]) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(3):
            name = draw(st.sampled_from(["a", "../../a", "/tmp/a", "x/../../a", "é"])) + str(number)
            fields = {
                "png": record["image"],
                "json": json.dumps({k: v for k, v in record.items() if k != "image"}).encode(),
                "txt": b"words",
            }
            for extension, data in fields.items():
                if draw(st.integers(0, 5)) == 0:
                    data = draw(st.binary(max_size=20))
                member = tarfile.TarInfo(f"{name}.{extension}")
                member.size = len(data)
                if draw(st.integers(0, 8)) == 0:
                    member.type, member.linkname, member.size = (
                        draw(st.sampled_from([tarfile.SYMTYPE, tarfile.LNKTYPE])),
                        "../../../etc/passwd",
                        0,
                    )
                tar.addfile(member, io.BytesIO(data) if member.isfile() else None)
