"""Corpora in tar files of the webdataset kind: files that share a name up to its first dot are one sample."""

import json
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import numpy as np

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import READ_ERRORS, DamagedDocument, InputError, brief
from gato_dist.tokens.documents import Document
from replay.corpora.damage import Damaged, attempt
from replay.corpora.fields import read_document
from replay.corpora.lines import IMAGES as SAMPLES

IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "ppm")
Members = dict[str, tarfile.TarInfo]


class TarSamples:
    """One uncompressed tar. counts, groups int64 [n] and size: as of a `CorpusFile`."""

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self.size, self._config = path, path.stat().st_size, config
        starts: list[int] = []
        counts: list[int] = []
        for _, members in self._samples(0):
            if not starts or counts[-1] == SAMPLES:
                starts.append(min(member.offset for member in members.values()))
                counts.append(0)
            counts[-1] += 1
        self._starts, self.counts = np.array(starts, np.int64), np.array(counts, np.int64)
        self.groups = np.arange(len(counts))

    def read(self, block: int) -> list[Document | Damaged]:
        """The documents of a block. Raises as `attempt`."""
        samples = self._samples(int(self._starts[block]))
        with self.path.open("rb") as file:
            return [
                attempt(self._config, partial(self._document, file, *next(samples))) for _ in range(self.counts[block])
            ]

    def _document(self, file: BinaryIO, name: str, members: Members) -> Document:
        where, fields = f"{self.path}, sample {name}", {}
        for extension, member in members.items():
            file.seek(member.offset_data)
            fields[extension] = file.read(member.size)
            if len(fields[extension]) < member.size:
                raise DamagedDocument(f"{where}: its .{extension} is cut short")
        return read_document(self._config, _record(self._config, fields, where), where, self.path.parent)

    def _samples(self, start: int) -> Iterator[tuple[str, Members]]:
        """Name and members by extension of each sample whose first header lies at `start` or behind it."""
        name, end = "", start
        members: Members = {}
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                with tarfile.open(fileobj=file, mode="r:", ignore_zeros=self._config.skip_damaged) as tar:
                    for member in tar:
                        tar.members = []  # type: ignore[attr-defined]  # else it remembers all of them
                        if not member.isfile():
                            continue
                        place = PurePosixPath(member.name)
                        key, _, extension = place.name.partition(".")
                        key = str(place.with_name(key or place.name))
                        if key != name and members:
                            yield name, members
                            members = {}
                        name = key
                        members[extension.lower()] = member
                    end = tar.offset
                # tarfile takes a header that it cannot read for the end.
                file.seek(end)
                if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise tarfile.ReadError(f"no file begins at byte {end}, and the rest cannot be read")
        except (*READ_ERRORS, tarfile.TarError) as error:
            if not (members and self._config.skip_damaged):
                raise InputError(f"{self.path}: not an uncompressed tar file, or damaged ({brief(error)})") from error
        if members:
            yield name, members


def _record(config: CorpusConfig, fields: dict[str, bytes], where: str) -> dict[str, Any]:
    """A sample's files by extension, and its JSON fields; a text is also found as .txt, an image by its extension."""
    record: dict[str, Any] = {}
    for extension, data in fields.items():
        if extension == "json":
            try:
                record = json.loads(data) | record
            except READ_ERRORS as error:
                raise DamagedDocument(f"{where}: its .json is not a JSON object ({brief(error)})") from error
        elif extension in IMAGE_EXTENSIONS:
            record[extension] = data
        else:
            record[extension] = _text_or_bytes(data)
    if config.image_key not in fields and (images := [key for key in IMAGE_EXTENSIONS if key in fields]):
        record[config.image_key] = fields[images[0]]
    said = config.caption_key if config.kind == "caption" else config.text_key
    if config.kind != "vqa" and "txt" in record:
        record.setdefault(said, record["txt"])
    return record


def _text_or_bytes(data: bytes) -> str | bytes:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data
