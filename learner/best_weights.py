"""The best weights of a run: one weights file in its `checkpoints/` folder, and `best.json`, which names the file."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from gato_dist.config.run_config import RunConfig
from gato_dist.errors import READ_ERRORS
from gato_dist.ports import State
from gato_dist.scores.references import Reference
from gato_dist.scores.table import MeanPoint
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.files import write_text_atomically
from gato_dist.utils.typed_json import read_as, to_json
from learner.checkpoint import Counters
from learner.weights_file import write_weights_file

BEST = "best.json"


@dataclass(frozen=True, kw_only=True)
class BestRecord:
    """The contents of `best.json`.

    Attributes:
        checkpoint: name of the weights file.
        step: gradient step of the weights.
        weights_version: version of the weights.
        oldest_version: oldest weights version among the scores in `fraction`.
        fraction: mean expert-score fraction over tasks.
    """

    checkpoint: str
    step: int
    weights_version: int
    oldest_version: int
    fraction: float


def read_best(root: Path) -> BestRecord | None:
    """Reads `best.json` in a `checkpoints/` folder; None if there is none, it is damaged, or its file is missing."""
    try:
        record = read_as(BestRecord, json.loads((root / BEST).read_text("utf-8")))
        exists = Path(record.checkpoint).name == record.checkpoint and (root / record.checkpoint).is_file()
    except READ_ERRORS:
        return None
    return record if exists else None


class BestWeights:
    """Keeps the weights with the best score, without optimizer state and independently of checkpoints."""

    def __init__(
        self, root: Path, config: RunConfig, tokenizer: Tokenizer, references: dict[str, Reference] | None = None
    ) -> None:
        self._root, self._config, self._tokenizer = root, config, tokenizer
        self._references = references or {}

    @property
    def fraction(self) -> float:
        """Mean expert-score fraction of the kept weights; −∞ if there are none."""
        record = read_best(self._root)
        return record.fraction if record else float("-inf")

    def keep(self, weights: State, counters: Counters, point: MeanPoint) -> Path:
        """Replaces the kept weights.

        Args:
            weights: float32 arrays by name.
            counters: progress of the run at these weights.
            point: their score.

        Returns:
            The new weights file.

        Raises:
            OSError: if the file cannot be written; the message names it. The previous weights then stay.
        """
        path = self._root / f"best-v{counters.weights_version:06d}.safetensors"
        if not path.exists():
            tensors = {name: torch.tensor(array) for name, array in weights.items()}
            write_weights_file(
                path,
                config=self._config,
                tokenizer=self._tokenizer,
                counters=asdict(counters),
                references=self._references,
                weights=tensors,
            )
        record = BestRecord(
            checkpoint=path.name,
            step=counters.step,
            weights_version=counters.weights_version,
            oldest_version=point.oldest_version,
            fraction=point.mean,
        )
        write_text_atomically(self._root / BEST, to_json(asdict(record), indent=1) + "\n")
        for other in self._root.glob("best-v*.safetensors"):
            if other != path:
                other.unlink()
        return path
