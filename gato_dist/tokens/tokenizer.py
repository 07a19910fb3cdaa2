"""The tokenizer of a run: vocabulary, text model, encoding and each task's statistics, with one fingerprint."""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gato_dist.specs import Modality, TaskSpec
from gato_dist.tokens.layout import Statistics, TaskTokenizer
from gato_dist.tokens.step_size import Encoding, tensor_width
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.vocabulary import Scheme, Vocabulary
from gato_dist.utils.typed_json import to_json

Separators = Literal["shared", "task"]

# A number with a smaller standard deviation hardly varies. Dividing by it would only amplify noise.
MIN_STD = 1e-3
# Version of the token layout. Raise it if the same settings would give other tokens: weights that were trained on the
# old tokens are then refused.
LAYOUT = 2


@dataclass(frozen=True)
class ObservationMoments:
    """Measured moments of a continuous observation part.

    Attributes:
        count: number of samples.
        mean, variance: of each number of the part, in float64 precision.
    """

    count: int
    mean: list[float]
    variance: list[float]

    @classmethod
    def of(cls, values: NDArray[Any]) -> "ObservationMoments":
        """Measures the moments of values [T, *part shape]."""
        flat = np.asarray(values, np.float64).reshape(len(values), -1)
        return cls(len(flat), flat.mean(0).tolist(), flat.var(0).tolist())

    @staticmethod
    def pooled(parts: "list[ObservationMoments]") -> "ObservationMoments":
        """Returns the moments of the samples of all parts together."""
        counts = np.array([part.count for part in parts], np.float64)[:, None]
        means, variances = (np.array([getattr(part, name) for part in parts]) for name in ("mean", "variance"))
        mean = (counts * means).sum(0) / counts.sum()
        variance = (counts * (variances + (means - mean) ** 2)).sum(0) / counts.sum()
        return ObservationMoments(int(counts.sum()), mean.tolist(), variance.tolist())


class Tokenizer:
    """The tokenizers of all tasks of a run. Tokenizers with equal fingerprints give equal tokens.

    Attributes:
        tasks: the `TaskTokenizer` of each task, by name.
        tensor_size: width D of compact tensors; 0 if no task has any.
    """

    def __init__(
        self,
        specs: list[TaskSpec],
        text: TextTokenizer,
        *,
        scheme: Scheme,
        encoding: Encoding,
        statistics: dict[str, dict[str, Statistics]],
        text_size: int | None = None,
        separators: Separators = "shared",
    ) -> None:
        """Makes the tokenizers of all tasks.

        Args:
            specs: the tasks, in the order of the configuration.
            text: encodes text observations.
            scheme: how the vocabulary is divided.
            encoding: `paper`: a token for every number; `compact`: a token for every tensor.
            statistics: by task and continuous part, as `pooled_statistics` returns them. Only the compact encoding
                uses them.
            text_size: ids reserved for text; by default the size of the text model.
            separators: whether each task has its own separator.

        Raises:
            ValueError: if the vocabulary has no room for the text model or the integers.
        """
        self.specs, self.text, self.encoding, self.separators = specs, text, encoding, separators
        has_own = separators == "task"
        self.vocabulary = Vocabulary(text_size or text.size, scheme, len(specs) if has_own else 0)
        if self.vocabulary.text_size < text.size:
            raise ValueError(f"tokens.text_size {text_size} is smaller than the text model's {text.size}")
        self.statistics = statistics if encoding == "compact" else {}
        self.tensor_size = max((tensor_width(spec, encoding) for spec in specs), default=0)
        self.tasks = {
            spec.name: TaskTokenizer(
                spec,
                self.vocabulary,
                text,
                encoding,
                statistics=self.statistics.get(spec.name),
                tensor_size=self.tensor_size,
                separator=self.vocabulary.separator + (1 + index if has_own else 0),
            )
            for index, spec in enumerate(specs)
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns all settings as plain JSON types. The text model, which is bytes, is stored separately."""
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
        """First 16 hex digits of the SHA-256 of all settings."""
        return hashlib.sha256(to_json(self.to_dict(), sort_keys=True).encode()).hexdigest()[:16]

    def save(self, folder: Path) -> None:
        """Writes `tokenizer.json` and `text.model` into a folder."""
        (folder / "tokenizer.json").write_text(to_json(self.to_dict(), indent=1), "utf-8")
        (folder / "text.model").write_bytes(self.text.model_bytes)

    @classmethod
    def load(cls, folder: Path) -> "Tokenizer":
        """Loads the tokenizer that `save` wrote. Damaged files raise various errors: see `errors.READ_ERRORS`."""
        data = json.loads((folder / "tokenizer.json").read_text("utf-8"))
        return cls.from_dict(data, (folder / "text.model").read_bytes())

    @classmethod
    def from_dict(cls, data: dict[str, Any], model_bytes: bytes) -> "Tokenizer":
        """Restores a tokenizer.

        Args:
            data: what `to_dict` returned.
            model_bytes: content of the text model's file.

        Raises:
            ValueError: if the tokens were laid out by another version.
        """
        if (layout := data.get("layout", 1)) != LAYOUT:
            raise ValueError(f"its token layout has version {layout}; this version of gato_dist uses {LAYOUT}")
        text = TextTokenizer(model_bytes)
        statistics = {
            task: {name: Statistics(np.array(s["mean"]), np.array(s["std"])) for name, s in parts.items()}
            for task, parts in data["statistics"].items()
        }
        return cls(
            [TaskSpec.from_dict(spec) for spec in data["specs"]],
            text,
            scheme=data["scheme"],
            encoding=data["encoding"],
            statistics=statistics,
            text_size=data["text_size"],
            separators=data["separators"],
        )


def pooled_statistics(
    specs: list[TaskSpec], moments: dict[str, dict[str, ObservationMoments]]
) -> dict[str, dict[str, Statistics]]:
    """Computes the statistics that standardise continuous observations.

    They are pooled over all tasks of a suite that have a part of the same name and shape. Two tasks often differ in a
    number that is constant in each of them; statistics of a single task would remove this difference.

    Args:
        specs: the tasks.
        moments: measured moments, by task and part.

    Returns:
        Statistics by task and continuous part.
    """
    groups: dict[tuple[str, str, tuple[int, ...]], list[str]] = defaultdict(list)
    for spec in specs:
        for part in spec.observations:
            if part.modality is Modality.CONTINUOUS:
                groups[spec.suite, part.name, part.shape].append(spec.name)
    statistics: dict[str, dict[str, Statistics]] = defaultdict(dict)
    for (_, name, _), tasks in groups.items():
        pooled = ObservationMoments.pooled([moments[task][name] for task in tasks])
        std = np.sqrt(np.array(pooled.variance))
        entry = Statistics(np.array(pooled.mean), np.where(std > MIN_STD, std, 1.0))
        for task in tasks:
            statistics[task][name] = entry
    return dict(statistics)
