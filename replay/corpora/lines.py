"""Plain text and JSON lines, read at byte offsets: only where blocks of documents begin is kept in memory."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import DamagedDocument, brief
from gato_dist.tokens.documents import Document
from gato_dist.utils.files import lowercase_suffix
from replay.corpora.damage import Damaged, attempt
from replay.corpora.fields import read_document

BLOCK_BYTES = 1 << 14
IMAGES = 16  # documents with an image in a block
# Pieces of a text that is one document: no file is too large to be one.
PIECE_BYTES = 1 << 16

Span = tuple[int, int, int]  # first byte, byte behind the last, number of the first line


class LineFile:
    """JSON lines, or plain text of which a line or a paragraph is a document.

    counts, groups int64 [n] and size: as of a `CorpusFile`.
    """

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self.size, self._config = path, path.stat().st_size, config
        self._paragraphs = lowercase_suffix(path) == ".txt" and config.split == "paragraphs"
        text = config.kind == "text"
        starts: list[int] = []
        lines: list[int] = []
        counts: list[int] = []
        with path.open("rb") as file:
            for start, stop, line in _spans(file, self._paragraphs):
                full = not starts or stop - starts[-1] > BLOCK_BYTES or (counts[-1] >= IMAGES and not text)
                if full:
                    starts.append(start)
                    lines.append(line)
                    counts.append(0)
                counts[-1] += 1
        self._starts, self._lines = np.array([*starts, self.size]), np.array(lines)
        self.counts, self.groups = np.array(counts, np.int64), np.arange(len(counts))

    def read(self, block: int) -> list[Document | Damaged]:
        """The documents of a block. Raises as `attempt`."""
        first, last = int(self._starts[block]), int(self._starts[block + 1])
        with self.path.open("rb") as file:
            file.seek(first)
            data = file.read(last - first)
        spans = _spans(BytesIO(data), self._paragraphs)
        line = int(self._lines[block])
        return [
            attempt(self._config, partial(self._document, data[start:stop], line + offset - 1))
            for start, stop, offset in spans
        ]

    def _document(self, data: bytes, line: int) -> Document:
        where = f"{self.path}, line {line}"
        text = _decoded(data, where)
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
    """Plain text that is one document, in pieces. counts, groups int64 [n] and size: as of a `CorpusFile`."""

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self.size, self._config = path, path.stat().st_size, config
        starts = [0]
        with path.open("rb") as file:
            while len(data := file.read(PIECE_BYTES)) == PIECE_BYTES:
                file.seek(_cut(data) - len(data), 1)
                starts.append(file.tell())
        ends = [*starts[1:], self.size]
        self._pieces = [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]
        self.counts, self.groups = np.ones(len(self._pieces), np.int64), np.arange(len(self._pieces))

    def read(self, block: int) -> list[Document | Damaged]:
        """One piece. Raises as `attempt`."""
        return [attempt(self._config, partial(self._piece, *self._pieces[block]))]

    def _piece(self, start: int, end: int) -> Document:
        with self.path.open("rb") as file:
            file.seek(start)
            text = _decoded(file.read(end - start), f"{self.path}, from byte {start}")
        return Document(str(self.path), (text,), begins=start == 0, ends=end == self.size)


def _spans(lines: Iterable[bytes], paragraphs: bool) -> Iterator[Span]:
    """Each line that is not blank, or each run of such lines."""
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


def _cut(data: bytes) -> int:
    """Where a piece best ends: behind its last line, else before its last word, else between two characters."""
    if (line := data.rfind(b"\n") + 1) or (line := data.rfind(b" ")) > 0:
        return line
    end = len(data)
    while end > 1 and data[end - 1] & 0xC0 == 0x80:
        end -= 1
    return max(end - 1, 1)


def _decoded(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedDocument(f"{where}: not UTF-8 text ({error.reason} at byte {error.start})") from error
