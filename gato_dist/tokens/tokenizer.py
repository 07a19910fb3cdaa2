"""The tokenizer of a run: vocabulary, text model, encoding and each task's statistics, with one fingerprint."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.specs import Modality, TaskSpec
from gato_dist.tokens.layout import Encoding, Scheme, Separators, Statistics, TaskTokenizer, Vocabulary, tensor_width
from gato_dist.tokens.text import TextTokenizer
from gato_dist.utils.typed_json import to_json

# A number that hardly moves carries no scale of its own; dividing by its noise would make it shout.
MIN_STD = 1e-3
# Raised whenever the same settings make other tokens: weights that learned the others are refused.
LAYOUT = 2


@dataclass(frozen=True)
class Moments:
    """count, mean and variance of each number of a continuous part, as measured; float64 lists of its size."""

    count: int
    mean: list[float]
    variance: list[float]

    @classmethod
    def of(cls, values: np.ndarray) -> "Moments":
        """From [T, ...] values."""
        flat = np.asarray(values, np.float64).reshape(len(values), -1)
        return cls(len(flat), flat.mean(0).tolist(), flat.var(0).tolist())

    @staticmethod
    def pooled(parts: "list[Moments]") -> "Moments":
        """The moments of all samples together."""
        counts = np.array([part.count for part in parts], np.float64)[:, None]
        means, variances = (np.array([getattr(part, name) for part in parts]) for name in ("mean", "variance"))
        mean = (counts * means).sum(0) / counts.sum()
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / counts.sum()
        return Moments(int(counts.sum()), mean.tolist(), variance.tolist())


class Tokenizer:
    """One `TaskTokenizer` per task, made from JSON-able settings; equal fingerprints mean equal tokens.

    statistics: per task and continuous part, used by the compact encoding alone; see `pooled_statistics`.
    """

    def __init__(
        self,
        specs: list[TaskSpec],
        text: TextTokenizer,
        scheme: Scheme,
        encoding: Encoding,
        statistics: dict[str, dict[str, Statistics]],
        text_size: int | None = None,
        separators: Separators = "shared",
    ) -> None:
        self.specs, self.text, self.encoding, self.separators = specs, text, encoding, separators
        own = len(specs) if separators == "task" else 0
        self.vocabulary = Vocabulary(text_size or text.size, scheme, own)
        if self.vocabulary.text_size < text.size:
            raise ValueError(f"tokens.text_size {text_size} is smaller than the text model's {text.size}")
        self.statistics = statistics if encoding == "compact" else {}
        self.tensor_size = max((tensor_width(spec, encoding) for spec in specs), default=0)
        self.tasks = {
            spec.name: TaskTokenizer(
                spec, self.vocabulary, text, encoding, self.statistics.get(spec.name), self.tensor_size,
                self.vocabulary.separator + (1 + index if own else 0),
            )
            for index, spec in enumerate(specs)
        }  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """JSON types; the text model goes beside, as bytes."""
        return {
            "layout": LAYOUT,
            "scheme": self.vocabulary.scheme,
            "encoding": self.encoding,
            "separators": self.separators,
            "text_size": self.vocabulary.text_size,
            "text_fingerprint": self.text.fingerprint,
            "specs": [spec.to_dict() for spec in self.specs],
            "statistics": {
                task: {name: {"mean": s.mean.tolist(), "std": s.std.tolist()} for name, s in parts.items()}
                for task, parts in self.statistics.items()
            },
        }

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(to_json(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json` and `text.model`."""
        (folder / "tokenizer.json").write_text(to_json(self.to_dict(), indent=1), "utf-8")
        (folder / "text.model").write_bytes(self.text.model_bytes)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """The tokenizer saved in `folder`, with the same fingerprint."""
        data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        return cls.from_dict(data, (folder / "text.model").read_bytes())

    @classmethod
    def from_dict(cls, data: dict[str, Any], model_bytes: bytes) -> "Tokenizer":
        """The tokenizer whose `to_dict` is `data`; model_bytes: of its text model. Raises ValueError."""
        if (layout := data.get("layout", 1)) != LAYOUT:
            raise ValueError(f"its tokens are laid out in another way ({layout}; this version has {LAYOUT})")
        text = TextTokenizer(model_bytes)
        statistics = {
            task: {name: Statistics(np.array(s["mean"]), np.array(s["std"])) for name, s in parts.items()}
            for task, parts in data["statistics"].items()
        }
        specs = [TaskSpec.from_dict(spec) for spec in data["specs"]]
        return cls(specs, text, data["scheme"], data["encoding"], statistics, data["text_size"], data["separators"])


def pooled_statistics(
    specs: list[TaskSpec], moments: dict[str, dict[str, Moments]]
) -> dict[str, dict[str, Statistics]]:
    """Statistics per task and continuous part, from measured moments per task and part.

    They are pooled over the tasks of a suite whose parts have the same name and shape: what tells two tasks apart
    is often a number that is constant in each of them, and statistics of each task alone would remove it.
    """
    groups: dict[tuple[str, str, tuple[int, ...]], list[str]] = defaultdict(list)
    for spec in specs:
        for part in spec.observations:
            if part.modality is Modality.CONTINUOUS:
                groups[spec.suite, part.name, part.shape].append(spec.name)
    statistics: dict[str, dict[str, Statistics]] = defaultdict(dict)
    for (_, name, _), tasks in groups.items():
        pooled = Moments.pooled([moments[task][name] for task in tasks])
        std = np.sqrt(np.array(pooled.variance))
        entry = Statistics(np.array(pooled.mean), np.where(std > MIN_STD, std, 1.0))
        for task in tasks:
            statistics[task][name] = entry
    return dict(statistics)
