"""Bad files and folders: checkpoints, datasets, runs, foreign formats and corpora."""

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary
from gato_dist.utils.manifest import seal
from learner.best_weights import read_best
from learner.checkpoint import load_for_acting
from replay.corpora.chunks import CorpusChunks
from replay.corpora.corpus import open_corpus
from replay.dataset.dataset import Dataset
from replay.dataset.storage import Location
from tests.fuzz.harness import command, hostile_pickle
from tests.fuzz.inputs import NAMES, TREES, damaged, json_bytes, tampered
from tests.fuzz.kinds_types import Act, Draw

TEXT = TextTokenizer.load()


def bad_checkpoint(draw: Draw, folder: Path, good: Path) -> Act:
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
        read_best(path.parent)
        if words:
            command(*words)
        else:
            load_for_acting(path)

    return act


def _spoil(draw: Draw, path: Path, folder: Path) -> None:
    """Damages one file in a way that suits its format."""
    kind = draw(st.integers(0, 11))
    if kind == 0:
        path.unlink()
    elif kind == 1:
        path.write_bytes(hostile_pickle(folder))
    elif kind == 2:
        path.unlink()
        path.mkdir()
    elif path.suffix == ".json":
        path.write_bytes(draw(json_bytes(json.loads(path.read_text(encoding="utf-8")))))
    elif path.suffix == ".yaml":
        path.write_bytes(
            yaml.safe_dump(draw(tampered(yaml.safe_load(path.read_text(encoding="utf-8"))))).encode("utf-8", "replace")
        )
    elif path.suffix == ".safetensors" and kind < 7:
        tensors = load_file(path)
        names = sorted(tensors)
        if names:
            tensors[draw(st.sampled_from(NAMES[:3] + names))] = tensors.pop(draw(st.sampled_from(names))).flatten()[:1]
        save_file(tensors, path)
    else:
        path.write_bytes(draw(damaged(path.read_bytes())))


def bad_weights(draw: Draw, folder: Path, good: Path) -> Act:
    path = folder / "w.safetensors"
    if draw(st.booleans()):
        path.write_bytes(draw(damaged(good.read_bytes())))
    else:
        _forge(draw, good, path)
    words = draw(st.sampled_from([["checkpoint", "info", str(path)], ["evaluate", str(path), "--tasks", "none/*"]]))
    return lambda: command(*words)


def _forge(draw: Draw, good: Path, path: Path) -> None:
    """Writes an exported file with changed contents and a matching checksum."""
    from safetensors import safe_open

    from learner.weights_file import _checksum

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
    save_file(weights, path, metadata | {"sha256": _checksum(metadata, weights)})


def bad_dataset(draw: Draw, folder: Path, good: Path) -> Act:
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


def bad_run(draw: Draw, folder: Path, good: Path) -> Act:
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


def bad_jat(draw: Draw, folder: Path, good: Path) -> Act:
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


def bad_minari(draw: Draw, folder: Path, good: Path) -> Act:
    shutil.copytree(good, folder / "theirs")
    path = draw(st.sampled_from(sorted(file for file in (folder / "theirs").rglob("*") if file.is_file())))
    _spoil(draw, path, folder)
    return lambda: command("dataset", "import", "theirs", "--format", "minari", "--out", "new")


def bad_corpus(draw: Draw, folder: Path) -> Act:
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
        CorpusChunks(corpus, documents, length=64, seed=0)(0)

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
