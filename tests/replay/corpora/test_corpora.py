"""Corpora: equal documents in every file format, each read once an epoch, and bad input refused by name."""

import io
import json
import pickle
import tarfile
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.config.run_config import parse_config
from gato_dist.errors import InputError
from gato_dist.sequence import Kind, Sequences
from gato_dist.tokens.documents import DocumentTokenizer
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Vocabulary
from replay.corpora import parquet_files, text_files
from replay.corpora.chunks import CorpusChunks
from replay.corpora.corpus import open_corpus

TEXT = TextTokenizer.load()
TOKENIZER = DocumentTokenizer(TEXT, Vocabulary(TEXT.size, "disjoint"), (16, 16))
COUNT = 70


def image(index: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (16, 16), (index, 2 * index, 0)).save(file, "PNG")
    return file.getvalue()


RECORDS = {
    "text": [{"text": f"text {i}"} for i in range(COUNT)],
    "caption": [{"image": image(i), "caption": [f"one {i}", f"other {i}"]} for i in range(COUNT)],
    "vqa": [{"image": image(i), "question": f"which? {i}", "answer": str(i)} for i in range(COUNT)],
}


def write_jsonl(folder: Path, records: list[dict]) -> Path:
    for index, record in enumerate(records):
        if "image" in record:
            (folder / f"{index}.png").write_bytes(record["image"])
    plain = [record | ({"image": f"{i}.png"} if "image" in record else {}) for i, record in enumerate(records)]
    path = folder / "data.jsonl"
    # Blank lines are not documents.
    path.write_text("\n\n".join(json.dumps(record) for record in plain))
    return path


def write_parquet(folder: Path, records: list[dict]) -> Path:
    path = folder / "data.parquet"
    pq.write_table(pa.Table.from_pylist(records), path, row_group_size=30)
    return path


def write_hugging_face(folder: Path, records: list[dict]) -> Path:
    wrapped = [r | ({"image": {"bytes": r["image"], "path": None}} if "image" in r else {}) for r in records]
    return write_parquet(folder, wrapped)


def write_tar(folder: Path, records: list[dict]) -> Path:
    path = folder / "data.tar"
    with tarfile.open(path, "w") as tar:
        for index, record in enumerate(records):
            fields = {key: value for key, value in record.items() if key != "image"}
            members = {"json": json.dumps(fields).encode(), "png": record.get("image")}
            # A long name has a header of its own.
            for extension, data in members.items():
                if data is not None:
                    info = tarfile.TarInfo(f"{'deep/' * 30}{index:06d}.{extension}")
                    info.size = len(data)
                    tar.addfile(info, io.BytesIO(data))
    return path


def write_text(folder: Path, records: list[dict]) -> Path:
    path = folder / "data.txt"
    path.write_text("\n\n\n".join(record["text"] for record in records) + "\n")
    return path


@pytest.mark.parametrize("write", [write_jsonl, write_parquet, write_hugging_face, write_tar, write_text])
@pytest.mark.parametrize("kind", ["text", "caption", "vqa"])
def test_every_format_gives_the_same_documents(kind, write, tmp_path):
    if write is write_text and kind != "text":
        pytest.skip("plain text holds no images")
    path = write(tmp_path, RECORDS[kind])
    corpus = pickle.loads(pickle.dumps(open_corpus(CorpusConfig(name="c", kind=kind, paths=path.as_posix()))))
    documents = [document for block in range(len(corpus.counts)) for document in corpus.read(block)]
    assert len(corpus) == COUNT
    for record, document in zip(RECORDS[kind], documents, strict=True):
        expected = record.get("text") or record.get("caption") or record["answer"]
        assert list(document.texts) == (expected if isinstance(expected, list) else [expected])
        assert document.question == record.get("question")
        assert document.image == record.get("image")
    chunk = CorpusChunks(corpus, TOKENIZER, length=64, seed=1)(0)
    assert (chunk.patches.shape[1] > 0) == (kind != "text")
    assert len(chunk) > 0


@given(st.integers(1, 60), st.integers(1, 9), st.booleans(), st.integers(1, 8), st.integers(1, 5))
def test_all_lanes_together_read_every_document_once_an_epoch(tmp_path_factory, count, lanes, columnar, block, size):
    records = [{"text": str(i)} for i in range(count)]
    path = (write_parquet if columnar else write_jsonl)(tmp_path_factory.mktemp("lanes"), records)
    with pytest.MonkeyPatch.context() as patch:
        for module in (text_files, parquet_files):
            patch.setattr(module, "BLOCK_BYTES", 16 * block)
        corpus = open_corpus(CorpusConfig(name="c", kind="text", paths=str(path)))
    corpus.chunk_blocks = size
    seen: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for lane in range(lanes):
        chunks, number = CorpusChunks(corpus, TOKENIZER, length=64, seed=3, lane=lane, lanes=lanes), 0
        every = [document for block in range(len(corpus.counts)) for document in corpus.read(block)]
        while (positions := chunks.positions(number))[0][0] < 3:
            read = [([every[i]] if chunks.by_document else corpus.read(i)) for _, i in positions]
            texts = [[document.texts[0] for document in documents] for documents in read]
            assert sorted(chain(*texts)) == sorted(document.texts[0] for document in chunks.documents(number))
            for (epoch, _), found in zip(positions, texts, strict=True):
                seen.setdefault(epoch, []).extend(found)
            number += 1
    for epoch in range(3):
        assert sorted(map(int, seen[epoch])) == list(range(count))


def test_a_chunk_depends_only_on_its_number_and_epochs_differ(tmp_path):
    corpus = open_corpus(CorpusConfig(name="c", kind="caption", paths=str(write_tar(tmp_path, RECORDS["caption"]))))
    assert len(corpus.counts) == 5
    assert corpus.chunk_blocks == 5, "64 images, in blocks of 14 on average"
    chunks = CorpusChunks(corpus, TOKENIZER, length=64, seed=5)
    in_order = [chunks(number) for number in range(6)]
    again = pickle.loads(pickle.dumps(CorpusChunks(corpus, TOKENIZER, length=64, seed=5)))
    for number in (5, 0, 3):
        assert_same(again(number), in_order[number])
    assert len(np.unique(np.concatenate([chunk.item_id for chunk in in_order]))) == sum(map(len, in_order))
    first, second = ([document.location for document in chunks.documents(number)] for number in (0, 1))
    assert sorted(first) == sorted(second)
    assert first != second


def test_several_images_are_shown_together_if_configured(tmp_path):
    path = write_parquet(tmp_path, RECORDS["vqa"])
    corpora = [open_corpus(CorpusConfig(name="c", kind="vqa", paths=str(path), together=size)) for size in (1, 5)]
    apart, together = (CorpusChunks(corpus, TOKENIZER, length=512, seed=0)(0) for corpus in corpora)
    assert corpora[0].fingerprint != corpora[1].fingerprint == open_corpus(corpora[1].config).fingerprint
    counts = [(np.diff(np.nonzero(chunk.kind[0] == Kind.PATCH)[0]) > 0).sum() + 1 for chunk in (apart, together)]
    segments = [chunk.segment[0].max() + 1 for chunk in (apart, together)]
    assert counts[0] == segments[0]
    assert counts[1] == 5 * segments[1]
    assert np.array_equal(apart.patches[0, :5], together.patches[0, :5])


def test_a_corpus_of_few_documents_fills_its_sequences(tmp_path):
    corpus = open_corpus(CorpusConfig(name="c", kind="caption", paths=str(write_tar(tmp_path, RECORDS["caption"][:3]))))
    for lanes in (1, 8):
        chunk = CorpusChunks(corpus, TOKENIZER, length=256, seed=5, lane=lanes - 1, lanes=lanes)(0)
        assert (chunk.segment >= 0).mean() > 0.6


def assert_same(one: Sequences, other: Sequences) -> None:
    for name, values in vars(one).items():
        assert np.array_equal(values, getattr(other, name)), name


def test_a_file_that_is_one_document_is_read_in_pieces_that_end_between_words(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "PIECE_BYTES", 50)
    text = "ä word or two; " * 40
    (tmp_path / "book.txt").write_text(text)
    (tmp_path / "short.txt").write_text("one piece")
    corpus = open_corpus(CorpusConfig(name="c", kind="text", split="files", paths=f"{tmp_path}/*.txt"))
    pieces = [document for block in range(len(corpus.counts)) for document in corpus.read(block)]
    assert "".join(piece.texts[0] for piece in pieces) == text + "one piece"
    assert [piece.starts_text for piece in pieces] == [True, *[False] * (len(pieces) - 2), True]
    assert [piece.ends_text for piece in pieces] == [*[False] * (len(pieces) - 2), True, True]
    assert all(not piece.texts[0][0].isspace() or piece.texts[0][0] == " " for piece in pieces)


def read_all(path: Path, kind: str, **keys) -> None:
    corpus = open_corpus(CorpusConfig(name="c", kind=kind, paths=str(path), **keys))
    CorpusChunks(corpus, TOKENIZER, length=64, seed=0)(0)


def test_bad_text_files_are_refused_by_file_and_line(tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"text": "fine"}\n\n{"text": \n')
    with pytest.raises(InputError, match=r"bad\.jsonl, line 3: not valid JSON"):
        read_all(bad, "text")
    bad.write_text('{"body": "fine"}\n')
    with pytest.raises(InputError, match=r"line 1: no field 'text'; it has body; corpora\.c\.text_key"):
        read_all(bad, "text")
    read_all(bad, "text", text_key="body")
    bad.write_text('{"image": "gone.png", "caption": "x"}\n')
    with pytest.raises(InputError, match=r"line 1: its image .*gone\.png cannot be read"):
        read_all(bad, "caption")
    bad.write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(InputError, match="line 1: not UTF-8"):
        read_all(bad, "text")
    bad.write_text("")
    with pytest.raises(InputError, match=r"corpora\.c\.paths: .* hold no document"):
        read_all(bad, "text")
    with pytest.raises(InputError, match=r"corpora\.c\.paths: there is no file .*gone\.txt"):
        read_all(tmp_path / "gone.txt", "text")
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"a\.csv: corpora\.c: text is read from \.jsonl, \.parquet, \.tar, \.txt"):
        read_all(tmp_path / "a.csv", "text")


def test_bad_parquet_and_tar_files_are_refused_by_file_and_row(tmp_path):
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 not really")
    with pytest.raises(InputError, match=r"bad\.parquet: not a Parquet file, or damaged"):
        read_all(bad, "text")
    pq.write_table(pa.table({"image": [image(1), b"none"], "caption": ["a", "b"]}), bad)
    with pytest.raises(InputError, match=r"bad\.parquet, row 1: its image cannot be decoded"):
        read_all(bad, "caption")
    with pytest.raises(InputError, match=r"corpora\.c: no column 'question'; it has image, caption"):
        read_all(bad, "vqa")
    pq.write_table(pa.table({"text": ["a", None]}), bad)
    with pytest.raises(InputError, match=r"row 1: text must be a text or a list of texts, got None"):
        read_all(bad, "text")
    tar = tmp_path / "bad.tar"
    tar.write_bytes(b"\x1f\x8b" + bytes(2000))
    with pytest.raises(InputError, match=r"bad\.tar: not an uncompressed tar file"):
        read_all(tar, "text")
    write_tar(tmp_path, [{"image": b"none", "caption": "x"}])
    with pytest.raises(InputError, match=r"data\.tar, sample deep/.*000000: its image cannot be decoded"):
        read_all(tmp_path / "data.tar", "caption")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"corpora": [{"name": "c", "kind": "audio", "paths": "x.tar"}]}, r"corpora\.0\.kind"),
        ({"corpora": [{"name": "c", "kind": "text"}]}, r"corpora\.0\.paths"),
        ({"corpora": [{"name": "c", "kind": "text", "paths": "a.txt"}] * 2}, "corpora: c is listed twice"),
        ({"corpora": []}, "nothing to learn"),
        ({"tokens": {"image_size": [20, 16]}}, r"tokens\.image_size: sides must be multiples of 16, got 20×16"),
        ({"tokens": {"length": 17}}, "16 patches, which leave no room"),
        ({"model": {"local_positions": 15}}, r"model\.local_positions: 15"),
    ],
)
def test_a_wrong_configuration_is_refused_by_its_key(change, message):
    data = {"name": "x", "corpora": [{"name": "c", "kind": "caption", "paths": "x.tar"}]}
    parse_config(data, "fine")
    with pytest.raises(InputError, match=message):
        parse_config(data | change, "test")
