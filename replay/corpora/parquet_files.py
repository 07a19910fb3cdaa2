"""Corpora in Parquet files: each row is a document, and an image is given as its bytes or its path."""

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import READ_ERRORS, DamagedDocument, InputError, brief
from gato_dist.tokens.documents import Document
from replay.corpora.damaged_documents import SkippedDocument, read_or_skip
from replay.corpora.records import field_names, read_document
from replay.corpora.text_files import BLOCK_BYTES, BLOCK_IMAGES

OPEN_GROUPS = 4  # row groups whose blocks are read in turn, and which are cached therefore


class ParquetCorpusFile:
    """One Parquet file (`replay.corpora.corpus.CorpusFile`). Only whole row groups can be read, so they are cached.

    Raises:
        InputError: the file is damaged, or lacks a column.
    """

    def __init__(self, path: Path, config: CorpusConfig) -> None:
        self.path, self._config = path, config
        try:
            metadata = pq.read_metadata(path)
        except (*READ_ERRORS, pa.ArrowException) as error:
            raise InputError(f"{path}: not a Parquet file, or damaged ({brief(error)})") from error
        columns = metadata.schema.to_arrow_schema().names
        for key in field_names(config):
            if key not in columns:
                raise InputError(f"{path}: corpora.{config.name}: no column {key!r}; it has {', '.join(columns)}")
        self._columns = list(field_names(config))
        self.size = 0
        blocks: list[tuple[int, int, int, int]] = []
        rows_before = 0
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            size = _column_bytes(found, self._columns)
            self.size += size
            fitting = max(BLOCK_BYTES * found.num_rows // max(size, 1), 1)
            block_rows = fitting if config.kind == "text" else BLOCK_IMAGES
            firsts = range(0, found.num_rows, block_rows)
            blocks += [(group, first, min(block_rows, found.num_rows - first), rows_before) for first in firsts]
            rows_before += found.num_rows
        # [blocks, 4]: row group, first row in it, number of rows, rows in all groups before.
        self._blocks = np.array(blocks, np.int64).reshape(-1, 4)
        self.counts: NDArray[np.int64] = self._blocks[:, 2]
        # Row groups may be empty, but groups are numbered without gaps.
        _, self.groups = np.unique(self._blocks[:, 0], return_inverse=True)
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": OrderedDict()}

    def read(self, block: int) -> list[Document | SkippedDocument]:
        """Returns the documents of a block. Messages number rows from 0. Raises InputError as `read_or_skip`."""
        group, first, count, rows_before = self._blocks[block].tolist()
        table = read_or_skip(self._config, partial(self._table, group))
        if isinstance(table, SkippedDocument):
            return [table] * count
        return [
            read_or_skip(self._config, partial(self._document, record, rows_before + first + i))
            for i, record in enumerate(table.slice(first, count).to_pylist())
        ]

    def _document(self, record: dict[str, Any], row: int) -> Document:
        return read_document(self._config, record, f"{self.path}, row {row}", self.path.parent)

    def _table(self, group: int) -> pa.Table:
        if group not in self._tables:
            try:
                with pq.ParquetFile(self.path) as file:
                    self._tables[group] = file.read_row_group(group, columns=self._columns)
            except (*READ_ERRORS, pa.ArrowException) as error:
                raise DamagedDocument(f"{self.path}: row group {group} cannot be read ({brief(error)})") from error
        self._tables.move_to_end(group)
        if len(self._tables) > OPEN_GROUPS:
            self._tables.popitem(last=False)
        return self._tables[group]


def _column_bytes(group: Any, columns: list[str]) -> int:
    """Returns the uncompressed bytes of some columns of a row group's metadata."""
    found = (group.column(index) for index in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in found if column.path_in_schema.split(".")[0] in columns)
