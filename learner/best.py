"""The weights that scored best in a run: one file in its `checkpoints/`, and `best.json`, which names it."""

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
from learner.export import write_file

BEST = "best.json"


@dataclass(frozen=True)
class BestNote:
    """`best.json`. checkpoint: the file's name; fraction: its mean over tasks; oldest_version: of the scores in it."""

    checkpoint: str
    step: int
    weights_version: int
    oldest_version: int
    fraction: float


def best_note(root: Path) -> BestNote | None:
    """What is known of the best weights in `checkpoints/`; None where there are none, or the note is damaged."""
    try:
        note = read_as(BestNote, json.loads((root / BEST).read_text("utf-8")))
        inside = Path(note.checkpoint).name == note.checkpoint and (root / note.checkpoint).is_file()
    except READ_ERRORS:
        return None
    return note if inside else None


class BestWeights:
    """Keeps weights that acted, and were scored, whether a checkpoint was due just then or not; no optimizer."""

    def __init__(
        self, root: Path, config: RunConfig, tokenizer: Tokenizer, references: dict[str, Reference] | None = None
    ) -> None:
        self._root, self._config, self._tokenizer = root, config, tokenizer
        self._references = references or {}

    @property
    def fraction(self) -> float:
        """Mean fraction of the weights kept so far; −∞ without any."""
        note = best_note(self._root)
        return note.fraction if note else float("-inf")

    def keep(self, weights: State, counters: Counters, point: MeanPoint) -> Path:
        """Puts float32 arrays by name in the place of those before; returns their file. point: what they scored.

        Raises OSError, which names the file, where there is no room; those before stay then.
        """
        path = self._root / f"best-v{counters.weights_version:06d}.safetensors"
        if not path.exists():
            tensors = {name: torch.tensor(array) for name, array in weights.items()}
            write_file(path, self._config, self._tokenizer, asdict(counters), self._references, tensors)
        note = BestNote(path.name, counters.step, counters.weights_version, point.oldest_version, point.mean)
        write_text_atomically(self._root / BEST, to_json(asdict(note), indent=1) + "\n")
        for other in self._root.glob("best-v*.safetensors"):
            if other != path:
                other.unlink()
        return path
