"""Takes any number of sequences from an iterator of blocks."""

from collections.abc import Iterator

from gato_dist.sequence import Sequences
from replay.sequence_blocks import join_sequences


class SequenceStream:
    """Hands out the sequences of an iterator of blocks, in order."""

    def __init__(self, blocks: Iterator[Sequences]) -> None:
        self._blocks = blocks
        self._rest: Sequences | None = None

    def take(self, count: int) -> Sequences:
        """Returns the next `count` sequences. Raises StopIteration if the blocks end."""
        parts: list[Sequences] = []
        while count:
            block = self._rest if self._rest is not None else next(self._blocks)
            parts.append(block.take(slice(0, count)))
            self._rest = block.take(slice(count, None)) if len(block) > count else None
            count -= len(parts[-1])
        return join_sequences(parts)
