"""A live run before it starts: everything that was checked and loaded."""

from collections.abc import Callable
from dataclasses import dataclass

from gato_dist.config.run_config import RunConfig
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import Reference
from gato_dist.tokens.tokenizer import Tokenizer

Note = Callable[[str], None]  # writes a line to the run's log and terminal


@dataclass(frozen=True, kw_only=True)
class RunPlan:
    """What a live run is made of.

    Attributes:
        config: with absolute paths, since other processes have other working directories.
        folder: the run folder.
        tokenizer: of all tasks and corpora.
        references: reference scores, by task.
        disk_shares: for each task, the share of its sequences that comes from a dataset.
        step: of the checkpoint that the run goes on from; None for a new run.
    """

    config: RunConfig
    folder: RunFolder
    tokenizer: Tokenizer
    references: dict[str, Reference]
    disk_shares: list[float]
    step: int | None

    @property
    def live_tasks(self) -> int:
        """How many tasks need live experts."""
        return sum(share < 1 for share in self.disk_shares)
