"""Corpora in Parquet: a row a document, an image as its bytes or its path."""

from collections import OrderedDict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import READ_ERRORS, DamagedDocument, InputError, brief
from gato_dist.tokens.documents import Document
from replay.corpora.damage import Damaged, attempt
from replay.corpora.fields import field_names, read_document
from replay.corpora.lines import BLOCK_BYTES, IMAGES

OPEN_GROUPS = 4  # row groups whose blocks are read in turns, and so are kept


class ParquetRows:
    """One file. counts, groups int64 [n] and size: as of a `CorpusFile`; only a whole row group can be read."""

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
        before = 0
        for group in range(metadata.num_row_groups):
            found = metadata.row_group(group)
            size = _bytes_of(found, self._columns)
            self.size += size
            fitting = max(BLOCK_BYTES * found.num_rows // max(size, 1), 1)
            each = fitting if config.kind == "text" else IMAGES
            firsts = range(0, found.num_rows, each)
            blocks += [(group, first, min(each, found.num_rows - first), before) for first in firsts]
            before += found.num_rows
        # Row group, first row in it, rows, and rows before the group.
        self._blocks = np.array(blocks, np.int64).reshape(-1, 4)
        self.counts = self._blocks[:, 2]
        # Row groups may be empty; groups are numbered without gaps.
        _, self.groups = np.unique(self._blocks[:, 0], return_inverse=True)
        self._tables: OrderedDict[int, pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_tables": OrderedDict()}

    def read(self, block: int) -> list[Document | Damaged]:
        """The documents of a block; messages number its rows from 0. Raises as `attempt`."""
        group, first, count, before = self._blocks[block].tolist()
        table = attempt(self._config, partial(self._table, group))
        if isinstance(table, Damaged):
            return [table] * count
        return [
            attempt(
                self._config,
                partial(
                    read_document, self._config, record, f"{self.path}, row {before + first + i}", self.path.parent
                ),
            )
            for i, record in enumerate(table.slice(first, count).to_pylist())
        ]

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


def _bytes_of(group: Any, columns: list[str]) -> int:
    found = (group.column(index) for index in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in found if column.path_in_schema.split(".")[0] in columns)
