"""The weights that scored best in a run: one file in its `checkpoints/`, and `best.json`, which names it."""

import json
from dataclasses import asdict
from pathlib import Path

import torch

from gato_dist.config import RunConfig
from gato_dist.ports import State
from gato_dist.scores import MeanPoint
from gato_dist.tokens.tokenizer import Tokenizer
from learner.checkpoint import Counters
from learner.export import write_file

BEST = "best.json"


class BestWeights:
    """Keeps weights that acted, and were scored, whether a checkpoint was due just then or not; no optimizer."""

    def __init__(self, root: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
        self._root, self._config, self._tokenizer = root, config, tokenizer

    @property
    def fraction(self) -> float:
        """Mean fraction of the weights kept so far; −∞ without any."""
        note = self._read()
        return float(note["fraction"]) if note else float("-inf")

    def keep(self, weights: State, counters: Counters, point: MeanPoint) -> Path:
        """Puts float32 arrays by name in the place of those before; returns their file. point: what they scored."""
        path = self._root / f"best-v{counters.weights_version:06d}.safetensors"
        if not path.exists():
            tensors = {name: torch.tensor(array) for name, array in weights.items()}
            write_file(path, self._config, self._tokenizer, asdict(counters), tensors)
        note = {"checkpoint": path.name, "step": counters.step, "weights_version": counters.weights_version}
        partial = self._root / f"{BEST}.partial"
        partial.write_text(json.dumps(note | {"oldest_version": point.oldest, "fraction": point.mean}, indent=1) + "\n")
        partial.rename(self._root / BEST)
        for other in self._root.glob("best-v*.safetensors"):
            if other != path:
                other.unlink()
        return path

    def _read(self) -> dict:
        """Empty where there is no whole one."""
        try:
            note = json.loads((self._root / BEST).read_text())
        except (OSError, ValueError):
            return {}
        whole = isinstance(note, dict) and (self._root / str(note.get("checkpoint"))).is_file()
        return note if whole else {}
