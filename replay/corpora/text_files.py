"""Corpora in plain text and JSON lines. Only the byte offsets of blocks of documents are kept in memory."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import DamagedDocument, brief
from gato_dist.tokens.documents import Document
from gato_dist.utils.files import lowercase_suffix
from replay.corpora.damaged_documents import SkippedDocument, read_or_skip
from replay.corpora.records import read_document

BLOCK_BYTES = 1 << 14
BLOCK_IMAGES = 16  # documents with an image in a block
PIECE_BYTES = 1 << 16  # of a file that is one document, so that a file of any size can be one

Span = tuple[int, int, int]  # first byte, byte after the last, number of the first line (from 1)


class LineFile:
    """JSON lines, or plain text in which each line or paragraph is a document (`replay.corpora.corpus.CorpusFile`)."""

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self.size, self._config = path, path.stat().st_size, config
        self._paragraphs = lowercase_suffix(path) == ".txt" and config.split == "paragraphs"
        text = config.kind == "text"
        starts: list[int] = []
        lines: list[int] = []
        counts: list[int] = []
        with path.open("rb") as file:
            for start, stop, line in _spans(file, self._paragraphs):
                full = not starts or stop - starts[-1] > BLOCK_BYTES or (counts[-1] >= BLOCK_IMAGES and not text)
                if full:
                    starts.append(start)
                    lines.append(line)
                    counts.append(0)
                counts[-1] += 1
        self._starts, self._lines = np.array([*starts, self.size]), np.array(lines)
        self.counts: NDArray[np.int64] = np.array(counts, np.int64)
        self.groups: NDArray[np.int64] = np.arange(len(counts))

    def read(self, block: int) -> list[Document | SkippedDocument]:
        """Returns the documents of a block. Raises InputError as `read_or_skip`."""
        first, last = int(self._starts[block]), int(self._starts[block + 1])
        with self.path.open("rb") as file:
            file.seek(first)
            data = file.read(last - first)
        spans = _spans(BytesIO(data), self._paragraphs)
        line = int(self._lines[block])
        return [
            read_or_skip(self._config, partial(self._document, data[start:stop], line + offset - 1))
            for start, stop, offset in spans
        ]

    def _document(self, data: bytes, line: int) -> Document:
        where = f"{self.path}, line {line}"
        text = _decode(data, where)
        if lowercase_suffix(self.path) == ".txt":
            return Document(where, (text.rstrip("\r\n"),))
        try:
            record = json.loads(text.strip())
        except json.JSONDecodeError as error:
            raise DamagedDocument(f"{where}: not valid JSON ({error.msg} at column {error.colno})") from error
        except (ValueError, RecursionError) as error:
            raise DamagedDocument(f"{where}: not JSON that can be read ({brief(error)})") from error
        if not isinstance(record, dict):
            raise DamagedDocument(f"{where}: expected an object with fields, got {type(record).__name__}")
        return read_document(self._config, record, where, self.path.parent)


class WholeTextFile:
    """Plain text that is one document, read in pieces: each piece is a block (`replay.corpora.corpus.CorpusFile`)."""

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self.size, self._config = path, path.stat().st_size, config
        starts = [0]
        with path.open("rb") as file:
            while len(data := file.read(PIECE_BYTES)) == PIECE_BYTES:
                file.seek(_piece_end(data) - len(data), 1)
                starts.append(file.tell())
        ends = [*starts[1:], self.size]
        self._pieces = [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]
        self.counts: NDArray[np.int64] = np.ones(len(self._pieces), np.int64)
        self.groups: NDArray[np.int64] = np.arange(len(self._pieces))

    def read(self, block: int) -> list[Document | SkippedDocument]:
        """Returns one piece. Raises InputError as `read_or_skip`."""
        return [read_or_skip(self._config, partial(self._piece, *self._pieces[block]))]

    def _piece(self, start: int, end: int) -> Document:
        with self.path.open("rb") as file:
            file.seek(start)
            text = _decode(file.read(end - start), f"{self.path}, from byte {start}")
        return Document(str(self.path), (text,), starts_text=start == 0, ends_text=end == self.size)


def _spans(lines: Iterable[bytes], paragraphs: bool) -> Iterator[Span]:
    """Yields each line that is not blank, or each run of such lines if `paragraphs`."""
    start = first = end = position = 0
    for number, line in enumerate(lines, 1):
        blank = not line.strip()
        if end > start and (blank or not paragraphs):
            yield start, end, first
            start = end
        if not blank:
            if end <= start:
                start, first = position, number
            end = position + len(line)
        position += len(line)
    if end > start:
        yield start, end, first


def _piece_end(data: bytes) -> int:
    """Returns the best end of a piece: after its last line, else before its last word, else between two characters."""
    if (end := data.rfind(b"\n") + 1) or (end := data.rfind(b" ")) > 0:
        return end
    end = len(data)
    while end > 1 and data[end - 1] & 0xC0 == 0x80:
        end -= 1
    return max(end - 1, 1)


def _decode(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedDocument(f"{where}: not UTF-8 text ({error.reason} at byte {error.start})") from error
