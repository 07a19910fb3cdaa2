"""Where each kind of token lies in the vocabulary."""

from dataclasses import dataclass
from typing import Literal

from gato_dist.specs import Modality
from gato_dist.tokens.values import BINS

Scheme = Literal["paper", "disjoint"]


@dataclass(frozen=True)
class Vocabulary:
    """The first token id of each range of the vocabulary.

    Attributes:
        text_size: ids of the text model; text is 0 … text_size − 1.
        scheme: `paper` uses the ids of text for integers too (paper, section 2.1); `disjoint` gives text, discrete
            observations, continuous observations and actions separate ranges.
        task_separators: number of tasks that have their own separator. Their ids follow the shared separator.

    Raises:
        ValueError: if the scheme is `paper` and text_size is too small to hold the 1024 integers.
    """

    text_size: int = 32000
    scheme: Scheme = "paper"
    task_separators: int = 0

    def __post_init__(self) -> None:
        if self.scheme == "paper" and self.text_size < BINS:
            raise ValueError(f"the paper's vocabulary needs text_size ≥ {BINS}, got {self.text_size}")

    @property
    def discrete(self) -> int:
        """First id of discrete observations."""
        return 0 if self.scheme == "paper" else self.text_size

    @property
    def continuous(self) -> int:
        """First id of continuous observations."""
        return self.text_size

    def action(self, modality: Modality) -> int:
        """Returns the first id of actions of this modality."""
        if self.scheme == "disjoint":
            return self.text_size + BINS
        return 0 if modality is Modality.DISCRETE else self.text_size

    @property
    def separator(self) -> int:
        """Id of the separator that all tasks share."""
        return self.text_size + (BINS if self.scheme == "paper" else 2 * BINS)

    @property
    def size(self) -> int:
        """Number of ids."""
        return self.separator + 1 + self.task_separators
