"""Damaged documents of corpora: each ends the run by name, or is skipped and counted, within bounds."""

import io
import json
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_dist.cli.main import main
from gato_dist.config.run_config import parse_config
from gato_dist.config.sections import CorpusConfig
from gato_dist.errors import InputError
from gato_dist.records.usage import UsageLog, damaged_documents
from gato_dist.telemetry import MixtureReport
from gato_dist.tokens.documents import Document
from replay.corpora.chunks import CorpusChunks, open_corpora, open_corpus
from replay.corpora.damage import Damaged
from replay.usage import Usage
from tests.replay.corpora.test_corpora import (
    COUNT,
    RECORDS,
    TOKENIZER,
    assert_same,
    image,
    write_jsonl,
    write_parquet,
    write_tar,
)

BAD = 7  # the damaged document


def picture(folder: Path) -> Path:
    records = [r | ({"image": b"none"} if i == BAD else {}) for i, r in enumerate(RECORDS["caption"])]
    return write_parquet(folder, records)


def null_text(folder: Path) -> Path:
    path = folder / "null.parquet"
    pq.write_table(pa.table({"text": [None if i == BAD else f"text {i}" for i in range(COUNT)]}), path)
    return path


def lines(folder: Path, damaged: bytes) -> Path:
    path = write_jsonl(folder, RECORDS["text"])
    path.write_bytes(path.read_bytes().replace(json.dumps(RECORDS["text"][BAD]).encode(), damaged))
    return path


def no_utf_8(folder: Path) -> Path:
    return lines(folder, b'{"text": "\xff"}')


def no_json(folder: Path) -> Path:
    return lines(folder, b'{"text": ')


def lost_picture(folder: Path) -> Path:
    path = write_jsonl(folder, RECORDS["caption"])
    (folder / f"{BAD}.png").unlink()
    return path


def tar_header(folder: Path) -> Path:
    """The caption's file has lost its header, so that its picture stands alone."""
    path = folder / "data.tar"
    with tarfile.open(path, "w") as tar:
        for index in range(COUNT):
            for extension, data in (("json", json.dumps({"caption": str(index)}).encode()), ("png", image(index))):
                info = tarfile.TarInfo(f"{index:06d}.{extension}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    with tarfile.open(path) as tar:
        offset = tar.getmember(f"{BAD:06d}.json").offset
    whole = bytearray(path.read_bytes())
    whole[offset : offset + 512] = b"\xff" * 512
    path.write_bytes(whole)
    return path


CASES = {
    picture: ("caption", r"row 7: its image cannot be decoded"),
    null_text: ("text", r"row 7: text must be a text"),
    no_utf_8: ("text", r"line 15: not UTF-8"),
    no_json: ("text", r"line 15: not valid JSON"),
    lost_picture: ("caption", r"line 15: its image .*7\.png cannot be read"),
}


def chunks(path: Path, kind: str, skip: bool = True) -> CorpusChunks:
    return CorpusChunks(
        open_corpus(CorpusConfig(name="c", kind=kind, paths=str(path), skip_damaged=skip)), TOKENIZER, 64, 1
    )


def documents(read: CorpusChunks) -> list[Document | Damaged]:
    return [each for block in range(len(read._corpus.counts)) for each in read._corpus.read(block)]


@pytest.mark.parametrize("write", CASES)
def test_a_damaged_document_ends_the_run_by_name_and_says_the_key(write, tmp_path):
    kind, says = CASES[write]
    with pytest.raises(InputError, match=rf"{says}.*; corpora\.c\.skip_damaged: true would skip") as caught:
        chunks(write(tmp_path), kind, skip=False)(0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [*CASES, tar_header])
def test_a_damaged_document_is_skipped_and_counted_and_all_others_are_read(write, tmp_path):
    kind = "caption" if write is tar_header else CASES[write][0]
    path = write(tmp_path)
    read = chunks(path, kind)
    rows = read(0)
    assert len(documents(read)) == COUNT
    # A chunk holds a corpus as small as this one several times.
    assert read.damaged == pytest.approx(len(read.documents(0)) / COUNT, abs=1)
    assert read.damaged >= 1
    assert len(rows) > 0
    # A chunk is a function of its number still.
    assert_same(chunks(path, kind)(0), rows)


def test_a_tar_that_is_cut_short_or_has_a_broken_header_is_refused_unless_damage_is_skipped(tmp_path):
    with pytest.raises(InputError, match="no file begins at byte"):
        chunks(tar_header(tmp_path), "caption", skip=False)
    path = write_tar(tmp_path, RECORDS["caption"])
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    path.write_bytes(path.read_bytes()[: last.offset_data + 20])
    with pytest.raises(InputError, match="damaged"):
        chunks(path, "caption", skip=False)
    read = chunks(path, "caption")
    assert [isinstance(each, Damaged) for each in documents(read)] == [False] * (COUNT - 1) + [True]


def test_too_much_damage_ends_the_run_and_names_the_first(tmp_path):
    path = tmp_path / "bad.jsonl"
    path.write_text('{"text": "fine"}\n' + '{"text": null}\n' * 99, "utf-8")
    read = chunks(path, "text")
    says = r"corpora\.c\.skip_damaged: [\d,]+ of [\d,]+ documents are damaged, .*the first: .*bad.jsonl, line"
    with pytest.raises(InputError, match=says):
        read(0)
    assert read.damaged > 100


def test_a_corpus_that_begins_with_nothing_but_damage_is_refused_at_once(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"body": "no text"}\n' * 9, "utf-8")
    corpus = {"name": "c", "kind": "text", "paths": str(tmp_path / "a.jsonl"), "skip_damaged": True}
    with pytest.raises(InputError, match=r"line 1: no 'text' there.*; so are all of the first 9 documents"):
        open_corpora(parse_config({"name": "x", "corpora": [corpus]}, "test"))


def test_a_run_that_met_damage_is_resumed_where_it_was_once_it_may_skip(tmp_path):
    path = no_json(tmp_path)
    prints = {chunks(path, "text", skip)._corpus.fingerprint for skip in (False, True)}
    assert len(prints) == 1


def test_a_run_trains_past_damage_and_its_log_tells_how_much(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = no_json(tmp_path)
    config = f"""
name: r
corpora: [{{name: books, kind: text, paths: {path}, skip_damaged: SKIP}}]
tokens: {{length: 32, text_size: 32000}}
model: {{width: 16, layers: 1, heads: 1, key_size: 16, feed_forward: 32}}
learner: {{steps: 12, batch: 8, checkpoint_seconds: 60}}
"""
    for skip, code in (("false", 2), ("true", 0)):
        Path("run.yaml").write_text(config.replace("SKIP", skip), "utf-8")
        assert main(["train", "run.yaml", "--run", skip]) == code
    assert "damaged documents skipped: books " in Path("true/log.txt").read_text("utf-8")


def test_what_is_skipped_beside_live_experts_is_counted_by_corpus():
    usage = Usage(["toy/arm", "books"])
    usage.count_damaged(1, SimpleNamespace(damaged=3))
    log = UsageLog(Path("usage.json"), None)
    log.update([MixtureReport(rank=rank, counts=usage.counts()) for rank in (0, 1)], [])
    assert damaged_documents(log.counts) == {"books": 6}


def test_suffixes_may_have_capitals(tmp_path):
    for write, name in ((write_jsonl, "A.JSONL"), (write_parquet, "B.Parquet"), (write_tar, "C.TAR")):
        path = write(tmp_path, RECORDS["text"]).rename(tmp_path / name)
        assert len(chunks(path, "text")._corpus) == COUNT
    (tmp_path / "D.TXT").write_text("one\n\ntwo\n", "utf-8")
    found = chunks(tmp_path / "D.TXT", "text")._corpus.read(0)
    assert [each.texts for each in found if not isinstance(each, Damaged)] == [("one",), ("two",)]
