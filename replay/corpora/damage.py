"""Documents of corpora that are damaged: each ends the run, or is skipped and counted where the corpus says so."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gato_dist.config.data_sections import CorpusConfig
from gato_dist.errors import DamagedDocument, InputError

# More damaged documents than these and this share of all that were read are no accident.
MOST_DAMAGED, MOST_SHARE = 100, 0.1

T = TypeVar("T")


@dataclass(frozen=True)
class Damaged:
    """Stands where a document was to be. why: file, place and what is wrong, in one line."""

    why: str


def attempt(config: CorpusConfig, make: Callable[[], T]) -> T | Damaged:
    """What `make` returns, or what is wrong with the document that it cannot read.

    Raises:
        InputError: the document is damaged, and the corpus does not skip such documents.
    """
    try:
        return make()
    except DamagedDocument as error:
        if config.skip_damaged:
            return Damaged(str(error))
        key = f"corpora.{config.name}.skip_damaged"
        raise InputError(f"{error}; {key}: true would skip and count such documents") from error


class DamageCount:
    """Counts the documents of a corpus that one reader asks for. damaged, read: since it was made."""

    def __init__(self, config: CorpusConfig) -> None:
        self._config, self._first = config, ""
        self.damaged = self.read = 0

    def add(self, found: Sequence[object]) -> None:
        """found: documents, tokens or `Damaged`. Raises InputError once too many are damaged."""
        why = [each.why for each in found if isinstance(each, Damaged)]
        self._first = self._first or (why[0] if why else "")
        self.damaged, self.read = self.damaged + len(why), self.read + len(found)
        if self.damaged > MOST_DAMAGED + MOST_SHARE * self.read:
            raise InputError(
                f"corpora.{self._config.name}.skip_damaged: {self.damaged:,} of {self.read:,} documents are damaged, "
                f"more than {MOST_DAMAGED} and {MOST_SHARE:.0%} of them; the first: {self._first}"
            )
