"""Corpora for the learner: chunks of rows, shuffled anew every epoch, each of them made from its number alone."""

from collections.abc import Callable
from functools import cache, partial
from glob import glob
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.sequence import Sequences
from gato_dist.tokens.documents import Document, DocumentTokenizer, DocumentTokens, document_shape, pack_documents
from gato_dist.utils.files import lowercase_suffix
from gato_dist.utils.locale_support import check_path_encoding
from replay.corpora.damage import DamageCount, Damaged, attempt
from replay.corpora.lines import BLOCK_BYTES, IMAGES, LineFile, WholeTextFile
from replay.corpora.rows import OPEN_GROUPS, ParquetRows
from replay.corpora.tars import TarSamples

CHUNK_BLOCKS = 4  # of usual size: 64 KiB of text, or 64 images
ITEMS = 1 << 32  # more rows than a chunk has


class CorpusFile(Protocol):
    """One file in n blocks. size: bytes of its fields.

    counts int64 [n]: documents of each block, at least one. groups int64 [n]: 0, 1, …, equal for neighbours that one
    reading fetches together.
    """

    path: Path
    counts: np.ndarray
    groups: np.ndarray
    size: int

    def read(self, block: int) -> list[Document | Damaged]: ...


class Corpus:
    """The files of one corpus, their blocks and groups numbered throughout. It pickles, and is small."""

    def __init__(self, config: CorpusConfig, files: list[CorpusFile]) -> None:
        self.config, self._files = config, files
        self.counts = np.concatenate([np.zeros(0, np.int64), *(file.counts for file in files)])
        self._ends = np.cumsum([len(file.counts) for file in files])
        if not len(self.counts):
            raise InputError(f"corpora.{config.name}.paths: {', '.join(config.paths)} hold no document")
        starts = np.concatenate([np.diff(file.groups, prepend=-1) for file in files])
        self.groups = np.cumsum(starts) - 1
        usual, have = BLOCK_BYTES, sum(file.size for file in files)
        if config.kind != "text":
            usual, have = IMAGES, len(self)
        self.chunk_blocks = -(-CHUNK_BLOCKS * usual * len(self.counts) // max(have, 1))

    def __len__(self) -> int:
        """Documents, or pieces of texts that are too long to be read at once."""
        return int(self.counts.sum())

    @property
    def fingerprint(self) -> str:
        """Of what decides which documents there are and in which order they come, but not of their contents.

        A run that met a damaged document goes on where it was once it may skip it.
        """
        sizes = [(file.path.name, file.size) for file in self._files]
        return sha256(
            f"{self.config.model_dump_json(exclude={'skip_damaged'})}{sizes}".encode() + self.counts.tobytes()
        ).hexdigest()[:16]

    def read(self, block: int) -> list[Document | Damaged]:
        file = int(np.searchsorted(self._ends, block, side="right"))
        return self._files[file].read(block - (int(self._ends[file - 1]) if file else 0))


class CorpusChunks:
    """Lane `lane` of `lanes` of a corpus without end: chunk n is the same whenever and wherever it is asked for.

    An epoch reads every document once, in an order of its own, of which each lane has a part of equal length; a lane's
    epochs follow one another without a gap, and are cut into chunks of equal numbers of blocks. A chunk's documents are
    shuffled once more and packed into rows.
    """

    def __init__(
        self, corpus: Corpus, tokenizer: DocumentTokenizer, length: int, seed: int, lane: int = 0, lanes: int = 1
    ) -> None:
        self._corpus, self._tokenizer = corpus, tokenizer
        self._seed, self._lane, self._lanes = seed, lane, lanes
        patches = 0 if corpus.config.kind == "text" else len(tokenizer.places)
        self._shape = document_shape(length, patches)
        blocks = len(corpus.counts)
        # With fewer blocks than lanes, every lane reads all and takes its share of the documents.
        self.by_document = blocks < lanes
        self._first, self._count = blocks * lane // lanes, blocks * (lane + 1) // lanes - blocks * lane // lanes
        self._size = corpus.chunk_blocks
        if self.by_document:
            self._size = -(-corpus.chunk_blocks * len(corpus) // blocks)
        self._epoch, self._order = -1, np.zeros(0, np.int64)
        self._count_damage = DamageCount(corpus.config)

    @property
    def damaged(self) -> int:
        """Documents that were skipped since this was made, however often each was met."""
        return self._count_damage.damaged

    def __call__(self, number: int) -> Sequences:
        """The rows of chunk `number`, of which skipped documents leave the others as they would be.

        Raises InputError naming file and place if a document is damaged, or too many of those that may be skipped.
        """
        documents = self.documents(number)
        draws = np.random.default_rng([self._seed, 1, self._lane, number]).random(len(documents))
        found = [self._encode(each, draw) for each, draw in zip(documents, draws, strict=True)]
        self._count_damage.add(found)
        tokens = [each for each in found if not isinstance(each, Damaged)]
        if self._shape.patches:
            size = self._corpus.config.together
            tokens = [DocumentTokens.join(tokens[first : first + size]) for first in range(0, len(tokens), size)]
        item = (number * self._lanes + self._lane) * ITEMS
        return pack_documents(tokens, self._shape, self._tokenizer.places, item)

    def _encode(self, document: Document | Damaged, draw: float) -> DocumentTokens | Damaged:
        if isinstance(document, Damaged):
            return document
        return attempt(self._corpus.config, partial(self._tokenizer.encode, document, draw))

    def documents(self, number: int) -> list[Document | Damaged]:
        """The documents of chunk `number`, in order."""
        read = cache(self._corpus.read)
        if self.by_document:
            every = [document for block in range(len(self._corpus.counts)) for document in read(block)]
            found = [every[index] for _, index in self.places(number)]
        else:
            found = [document for _, block in self.places(number) for document in read(block)]
        order = np.random.default_rng([self._seed, 2, self._lane, number]).permutation(len(found))
        return [found[index] for index in order]

    def places(self, number: int) -> list[tuple[int, int]]:
        """Epoch and number of each block of a chunk, or of each document where `by_document`."""
        found = []
        for index in range(number * self._size, (number + 1) * self._size):
            if self.by_document:
                epoch, place = divmod(index * self._lanes + self._lane, len(self._corpus))
            else:
                epoch, place = divmod(index, self._count)
                place += self._first
            found.append((epoch, int(self._order_of(epoch)[place])))
        return found

    def _order_of(self, epoch: int) -> np.ndarray:
        """Blocks in an epoch's order: drawn from a few groups at a time, and those shuffled. Or documents, shuffled."""
        if epoch != self._epoch:
            random, groups = np.random.default_rng([self._seed, 0, epoch]), self._corpus.groups
            if self.by_document:
                groups = np.arange(len(self._corpus))
            pool = random.permutation(int(groups[-1]) + 1)[groups] // OPEN_GROUPS
            self._epoch, self._order = epoch, np.lexsort((random.random(len(groups)), pool))
        return self._order


def open_corpora(config: RunConfig) -> list[Corpus]:
    """The configuration's corpora. Raises InputError for what is missing, empty or of no known format.

    And for fields that the first documents lack: everything else damaged shows when it is read.
    """
    corpora = [open_corpus(corpus) for corpus in config.corpora]
    for corpus in corpora:
        first = corpus.read(0)
        if isinstance(first[0], Damaged) and all(isinstance(each, Damaged) for each in first):
            raise InputError(f"{first[0].why}; so are all of the first {len(first)} documents")
    return corpora


def open_corpus(config: CorpusConfig) -> Corpus:
    """Finds where the documents of a corpus lie. Raises InputError as `open_corpora`."""
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
        ".jsonl": LineFile, ".parquet": ParquetRows, ".tar": TarSamples,
    }  # fmt: skip
    if suffix not in formats:
        known = [*formats, ".txt"] if config.kind == "text" else formats
        raise InputError(f"{path}: corpora.{config.name}: {config.kind} is read from {', '.join(known)} files")
    return formats[suffix](path, config)
