"""Corpora in tar files, as webdataset writes them: members that share a name up to its first dot are one document."""

import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import READ_ERRORS, DamagedDocument, InputError, brief
from gato_dist.tokens.documents import Document
from replay.corpora.damaged_documents import SkippedDocument, read_or_skip
from replay.corpora.records import read_document
from replay.corpora.text_files import BLOCK_IMAGES

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "ppm")
Members = dict[str, tarfile.TarInfo]  # by extension


class TarCorpusFile:
    """One uncompressed tar file (`replay.corpora.corpus.CorpusFile`).

    Raises:
        InputError: the file is compressed or damaged.
    """

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self.size, self._config = path, path.stat().st_size, config
        starts: list[int] = []
        counts: list[int] = []
        for _, members in self._samples(0):
            if not starts or counts[-1] == BLOCK_IMAGES:
                starts.append(min(member.offset for member in members.values()))
                counts.append(0)
            counts[-1] += 1
        self._starts = np.array(starts, np.int64)
        self.counts: NDArray[np.int64] = np.array(counts, np.int64)
        self.groups: NDArray[np.int64] = np.arange(len(counts))

    def read(self, block: int) -> list[Document | SkippedDocument]:
        """Returns the documents of a block. Raises InputError as `read_or_skip`."""
        samples = self._samples(int(self._starts[block]))
        with self.path.open("rb") as file:
            return [
                read_or_skip(self._config, partial(self._document, file, *next(samples)))
                for _ in range(self.counts[block])
            ]

    def _document(self, file: BinaryIO, name: str, members: Members) -> Document:
        where, contents = f"{self.path}, sample {name}", {}
        for extension, member in members.items():
            file.seek(member.offset_data)
            contents[extension] = file.read(member.size)
            if len(contents[extension]) < member.size:
                raise DamagedDocument(f"{where}: its .{extension} is cut short")
        return read_document(self._config, _make_record(self._config, contents, where), where, self.path.parent)

    def _samples(self, start: int) -> Iterator[tuple[str, Members]]:
        """Yields the name and members of each sample whose first header is at byte `start` or later."""
        name, end = "", start
        members: Members = {}
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                with tarfile.open(fileobj=file, mode="r:", ignore_zeros=self._config.skip_damaged) as tar:
                    for member in tar:
                        tar.members = []  # type: ignore[attr-defined]  # otherwise it keeps all of them
                        if not member.isfile():
                            continue
                        path = PurePosixPath(member.name)
                        stem, _, extension = path.name.partition(".")
                        sample = str(path.with_name(stem or path.name))
                        if sample != name and members:
                            yield name, members
                            members = {}
                        name = sample
                        members[extension.lower()] = member
                    end = tar.offset
                # tarfile treats an unreadable header as the end of the file.
                file.seek(end)
                if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise tarfile.ReadError(f"no file begins at byte {end}, and the rest cannot be read")
        except (*READ_ERRORS, tarfile.TarError) as error:
            if not (members and self._config.skip_damaged):
                raise InputError(f"{self.path}: not an uncompressed tar file, or damaged ({brief(error)})") from error
        if members:
            yield name, members


def _make_record(config: CorpusConfig, contents: dict[str, bytes], where: str) -> dict[str, Any]:
    """Returns a sample's contents by extension, and the fields of its .json.

    The image is also available under the configured image field, and a .txt under the field of texts or captions.
    """
    record: dict[str, Any] = {}
    for extension, data in contents.items():
        if extension == "json":
            try:
                record = json.loads(data) | record
            except READ_ERRORS as error:
                raise DamagedDocument(f"{where}: its .json is not a JSON object ({brief(error)})") from error
        elif extension in IMAGE_EXTENSIONS:
            record[extension] = data
        else:
            record[extension] = _text_or_bytes(data)
    if config.image_key not in contents and (images := [key for key in IMAGE_EXTENSIONS if key in contents]):
        record[config.image_key] = contents[images[0]]
    text_field = config.caption_key if config.kind == "caption" else config.text_key
    if config.kind != "vqa" and "txt" in record:
        record.setdefault(text_field, record["txt"])
    return record


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data
