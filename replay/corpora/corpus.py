"""Finds and opens the files of corpora, and numbers their blocks of documents."""

from collections.abc import Callable
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.tokens.documents import Document
from gato_dist.utils.files import lowercase_suffix
from gato_dist.utils.locale_support import check_path_encoding
from replay.corpora.damaged_documents import SkippedDocument
from replay.corpora.parquet_files import ParquetCorpusFile
from replay.corpora.tar_files import TarCorpusFile
from replay.corpora.text_files import BLOCK_BYTES, BLOCK_IMAGES, LineFile, WholeTextFile

CHUNK_BLOCKS = 4  # blocks of usual size in a chunk: 64 KiB of text, or 64 images


class CorpusFile(Protocol):
    """One file, in n blocks of documents.

    Attributes:
        path: of the file.
        size: bytes of the fields that documents need.
        counts: int64 [n], documents in each block, at least 1.
        groups: int64 [n], 0, 1, …. Consecutive blocks with the same number are read from disk together.
    """

    path: Path
    size: int
    counts: NDArray[np.int64]
    groups: NDArray[Any]

    def read(self, block: int) -> list[Document | SkippedDocument]:
        """Returns the documents of a block. Raises InputError if one is damaged and must not be skipped."""
        ...


class Corpus:
    """The files of one corpus, with blocks and groups numbered through all of them. Small, and can be pickled.

    Args:
        config: the corpus.
        files: its files.

    Attributes:
        config: the corpus.
        counts: int64 [blocks], documents in each block.
        groups: int64 [blocks], as in `CorpusFile`.
        chunk_blocks: blocks in a chunk.

    Raises:
        InputError: there is no document.
    """

    def __init__(self, config: CorpusConfig, files: list[CorpusFile]) -> None:
        self.config, self._files = config, files
        self.counts: NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *(file.counts for file in files)])
        self._ends = np.cumsum([len(file.counts) for file in files])
        if not len(self.counts):
            raise InputError(f"corpora.{config.name}.paths: {', '.join(config.paths)} hold no document")
        starts = np.concatenate([np.diff(file.groups, prepend=-1) for file in files])
        self.groups: NDArray[np.int64] = np.cumsum(starts) - 1
        usual, total = BLOCK_BYTES, sum(file.size for file in files)
        if config.kind != "text":
            usual, total = BLOCK_IMAGES, len(self)
        self.chunk_blocks = -(-CHUNK_BLOCKS * usual * len(self.counts) // max(total, 1))

    def __len__(self) -> int:
        """Number of documents. A file that is one document counts as many as it has pieces."""
        return int(self.counts.sum())

    @property
    def fingerprint(self) -> str:
        """Hash of what decides which documents there are and their order, but not of their contents.

        It does not depend on `skip_damaged`: a run that ended at a damaged document can be resumed with it set.
        """
        sizes = [(file.path.name, file.size) for file in self._files]
        return sha256(
            f"{self.config.model_dump_json(exclude={'skip_damaged'})}{sizes}".encode() + self.counts.tobytes()
        ).hexdigest()[:16]

    def read(self, block: int) -> list[Document | SkippedDocument]:
        """Returns the documents of a block. Raises InputError as `CorpusFile.read`."""
        file = int(np.searchsorted(self._ends, block, side="right"))
        return self._files[file].read(block - (int(self._ends[file - 1]) if file else 0))


def open_corpora(config: RunConfig) -> list[Corpus]:
    """Opens the corpora of a run.

    Checks the first block of each, to find wrong field names early. Other damage shows only when it is read.

    Raises:
        InputError: a file is missing, empty or of an unknown format, or all of the first documents are damaged.
    """
    corpora = [open_corpus(corpus) for corpus in config.corpora]
    for corpus in corpora:
        first = corpus.read(0)
        if isinstance(first[0], SkippedDocument) and all(isinstance(each, SkippedDocument) for each in first):
            raise InputError(f"{first[0].reason}; so are all of the first {len(first)} documents")
    return corpora


def open_corpus(config: CorpusConfig) -> Corpus:
    """Opens one corpus and finds its blocks.

    Raises:
        InputError: a file is missing, empty or of an unknown format.
    """
    files: list[CorpusFile] = []
    for pattern in config.paths:
        found = sorted(glob(pattern, recursive=True)) or [pattern]
        for path in (Path(name).absolute() for name in found):
            check_path_encoding(path)
            if not path.is_file():
                raise InputError(f"corpora.{config.name}.paths: there is no file {path}")
            try:
                files.append(_open_file(path, config))
            except OSError as error:
                raise InputError(f"{path}: cannot be read ({error.__class__.__name__})") from error
    return Corpus(config, files)


def _open_file(path: Path, config: CorpusConfig) -> CorpusFile:
    suffix = lowercase_suffix(path)
    if suffix == ".txt" and config.kind == "text":
        return WholeTextFile(path, config) if config.split == "files" else LineFile(path, config)
    formats: dict[str, Callable[[Path, CorpusConfig], CorpusFile]] = {
        ".jsonl": LineFile,
        ".parquet": ParquetCorpusFile,
        ".tar": TarCorpusFile,
    }
    if suffix not in formats:
        known = [*formats, ".txt"] if config.kind == "text" else formats
        raise InputError(f"{path}: corpora.{config.name}: {config.kind} is read from {', '.join(known)} files")
    return formats[suffix](path, config)
