"""Training sequences from a corpus, in chunks. Every epoch has a new order, and a chunk depends only on its number."""

from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from gato_dist.sequence import Sequences
from gato_dist.tokens.documents import Document, DocumentTokenizer, DocumentTokens, document_shape, pack_documents
from replay.corpora.corpus import Corpus
from replay.corpora.damaged_documents import DamageCounter, SkippedDocument, read_or_skip
from replay.corpora.parquet_files import OPEN_GROUPS

MAX_CHUNK_SEQUENCES = 1 << 32  # for item ids


class CorpusChunks:
    """The sequences of one lane of a corpus, in chunks, without end (`replay.loader.Chunks`).

    An epoch reads every document once, in an order of its own. Each lane has an equal part of that order. A lane's
    epochs follow one another without a gap, and are cut into chunks of equally many blocks. The documents of a chunk
    are shuffled once more and packed into sequences.

    Args:
        corpus: what to read.
        tokenizer: makes tokens from documents.
        length: tokens in a sequence.
        seed: of the order.
        lane: this lane, 0 … lanes − 1.
        lanes: number of all lanes.

    Attributes:
        by_document: whether lanes divide documents instead of blocks, because there are fewer blocks than lanes.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: DocumentTokenizer,
        *,
        length: int,
        seed: int,
        lane: int = 0,
        lanes: int = 1,
    ) -> None:
        self.corpus = corpus
        self._tokenizer = tokenizer
        self._seed, self._lane, self._lanes = seed, lane, lanes
        patches = 0 if corpus.config.kind == "text" else len(tokenizer.patch_positions)
        self._shape = document_shape(length, patches)
        blocks = len(corpus.counts)
        self.by_document = blocks < lanes
        self._first_block = blocks * lane // lanes
        self._block_count = blocks * (lane + 1) // lanes - self._first_block
        self._chunk_size = corpus.chunk_blocks  # blocks, or documents if `by_document`
        if self.by_document:
            self._chunk_size = -(-corpus.chunk_blocks * len(corpus) // blocks)
        self._epoch, self._order = -1, np.zeros(0, np.int64)
        self._damage = DamageCounter(corpus.config)

    @property
    def damaged(self) -> int:
        """How many damaged documents were skipped so far. A document that was read twice counts twice."""
        return self._damage.damaged

    def __call__(self, number: int) -> Sequences:
        """Returns the sequences of chunk `number`. Skipped documents do not change the order of the others.

        Raises:
            InputError: a document is damaged and must not be skipped, or too many were skipped.
        """
        documents = self.documents(number)
        draws = np.random.default_rng([self._seed, 1, self._lane, number]).random(len(documents))
        encoded = [self._encode(each, draw) for each, draw in zip(documents, draws, strict=True)]
        self._damage.add(encoded)
        tokens = [each for each in encoded if not isinstance(each, SkippedDocument)]
        if self._shape.patches:
            size = self.corpus.config.together
            tokens = [DocumentTokens.join(tokens[first : first + size]) for first in range(0, len(tokens), size)]
        first_item_id = (number * self._lanes + self._lane) * MAX_CHUNK_SEQUENCES
        return pack_documents(tokens, self._shape, self._tokenizer.patch_positions, first_item_id)

    def _encode(self, document: Document | SkippedDocument, draw: float) -> DocumentTokens | SkippedDocument:
        if isinstance(document, SkippedDocument):
            return document
        return read_or_skip(self.corpus.config, partial(self._tokenizer.encode, document, draw))

    def documents(self, number: int) -> list[Document | SkippedDocument]:
        """Returns the documents of chunk `number`, in order. Raises InputError as calling it does."""
        read = cache(self.corpus.read)
        if self.by_document:
            every = [document for block in range(len(self.corpus.counts)) for document in read(block)]
            found = [every[index] for _, index in self.positions(number)]
        else:
            found = [document for _, block in self.positions(number) for document in read(block)]
        order = np.random.default_rng([self._seed, 2, self._lane, number]).permutation(len(found))
        return [found[index] for index in order]

    def positions(self, number: int) -> list[tuple[int, int]]:
        """Returns (epoch, number) of each block of chunk `number`, or of each document if `by_document`."""
        found = []
        for index in range(number * self._chunk_size, (number + 1) * self._chunk_size):
            if self.by_document:
                epoch, position = divmod(index * self._lanes + self._lane, len(self.corpus))
            else:
                epoch, position = divmod(index, self._block_count)
                position += self._first_block
            found.append((epoch, int(self._order_of(epoch)[position])))
        return found

    def _order_of(self, epoch: int) -> NDArray[np.int64]:
        """Returns an epoch's order of blocks, or of documents if `by_document`.

        Blocks are shuffled within pools of a few groups, since a whole group is read at once.
        """
        if epoch != self._epoch:
            random, groups = np.random.default_rng([self._seed, 0, epoch]), self.corpus.groups
            if self.by_document:
                groups = np.arange(len(self.corpus))
            pool = random.permutation(int(groups[-1]) + 1)[groups] // OPEN_GROUPS
            self._epoch, self._order = epoch, np.lexsort((random.random(len(groups)), pool))
        return self._order
