"""Damaged documents of corpora. Each ends the run, or is skipped and counted if the corpus is configured so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import DamagedDocument, InputError

# More skipped documents than this number plus this share of all is not an accident: the run ends.
MAX_DAMAGED, MAX_DAMAGED_SHARE = 100, 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class SkippedDocument:
    """Takes the place of a damaged document.

    Attributes:
        reason: file, position and what is wrong, in one line.
    """

    reason: str


def read_or_skip(config: CorpusConfig, read: Callable[[], T]) -> T | SkippedDocument:
    """Returns what `read` returns, or a `SkippedDocument` if it raises DamagedDocument and the corpus skips those.

    Raises:
        InputError: the document is damaged, and the corpus does not skip such documents.
    """
    try:
        return read()
    except DamagedDocument as error:
        if config.skip_damaged:
            return SkippedDocument(str(error))
        key = f"corpora.{config.name}.skip_damaged"
        raise InputError(f"{error}; {key}: true would skip and count such documents") from error


class DamageCounter:
    """Counts the documents that one reader of a corpus reads.

    Attributes:
        damaged: skipped documents so far.
        read: all documents so far.
    """

    def __init__(self, config: CorpusConfig) -> None:
        self._config, self._first_reason = config, ""
        self.damaged = self.read = 0

    def add(self, documents: Sequence[object]) -> None:
        """Counts documents (or their tokens), among them `SkippedDocument`s.

        Raises:
            InputError: too many are damaged.
        """
        reasons = [each.reason for each in documents if isinstance(each, SkippedDocument)]
        self._first_reason = self._first_reason or (reasons[0] if reasons else "")
        self.damaged, self.read = self.damaged + len(reasons), self.read + len(documents)
        if self.damaged > MAX_DAMAGED + MAX_DAMAGED_SHARE * self.read:
            raise InputError(
                f"corpora.{self._config.name}.skip_damaged: {self.damaged:,} of {self.read:,} documents are damaged, "
                f"more than {MAX_DAMAGED} and {MAX_DAMAGED_SHARE:.0%} of them; the first: {self._first_reason}"
            )
