"""What a learned expert's network sees of a task's observations: the same function in training and in acting."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.specs import Modality, TaskSpec

# ITU-R 601, what Atari's grey screens are made with.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
EPSILON = 1e-8


@dataclass(frozen=True)
class Preprocessing:
    """How observations become one array; stored beside the weights.

    kind: `flat`: all parts in the spec's order, discrete ones one-hot; `image`: the one image, channels first.
    stack: newest observations that the network sees at once, oldest first, along the first axis after N.
    clip: bound of standardised numbers; 0: not standardised.
    """

    kind: Literal["flat", "image"]
    grey: bool = False
    stack: int = 1
    clip: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class RunningStatistics:
    """Running mean and variance of vectors, float64, over all that `update` was given (Chan's parallel formula)."""

    def __init__(self, mean: np.ndarray, variance: np.ndarray, count: float = EPSILON) -> None:
        self.mean, self.variance, self.count = np.asarray(mean, float), np.asarray(variance, float), count

    @classmethod
    def of_size(cls, size: int) -> "RunningStatistics":
        return cls(np.zeros(size), np.ones(size))

    def update(self, values: np.ndarray) -> None:
        """values: [N, size]."""
        count, total = len(values), self.count + len(values)
        delta = values.mean(0, dtype=np.float64) - self.mean
        spread = self.variance * self.count + values.var(0, dtype=np.float64) * count
        self.variance = (spread + delta**2 * self.count * count / total) / total
        self.mean = self.mean + delta * count / total
        self.count = total

    def standardise(self, values: np.ndarray, clip: float) -> np.ndarray:
        """float32, like `values`, within ±clip."""
        scaled = (values - self.mean) / np.sqrt(self.variance + EPSILON)
        return np.clip(scaled, -clip, clip).astype(np.float32)


def default_preprocessing(spec: TaskSpec, stack: int | None = None, standardise: bool = False) -> Preprocessing:
    """Flat for state tasks, the image for pixel tasks: grey and 4 deep on ALE. Raises InputError for other layouts."""
    modalities = [part.modality for part in spec.observations]
    if Modality.TEXT in modalities:
        raise InputError(f"{spec.name}: its observations hold text, which learned experts cannot read")
    if Modality.IMAGE not in modalities:
        return Preprocessing("flat", stack=stack or 1, clip=10.0 if standardise else 0.0)
    if len(modalities) > 1:
        names = ", ".join(part.name for part in spec.observations)
        raise InputError(f"{spec.name}: learned experts see one image or state without one, not both ({names})")
    atari = spec.suite.startswith("ale")
    return Preprocessing("image", grey=atari, stack=stack or (4 if atari else 1))


def preprocess(
    spec: TaskSpec, rule: Preprocessing, observations: Observations, moments: RunningStatistics | None = None
) -> np.ndarray:
    """One observation of each environment, before stacking: float32 [N, D], or uint8 [N, C, H, W] for images."""
    if rule.kind == "image":
        frames = np.asarray(observations[spec.observations[0].name])
        if rule.grey:
            return np.rint(frames @ LUMA).astype(np.uint8)[:, None]
        return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    columns = []
    for part in spec.observations:
        values = np.asarray(observations[part.name])
        if part.modality is Modality.DISCRETE:
            values = np.eye(part.num_values, dtype=np.float32)[values]
        columns.append(values.reshape(len(values), -1).astype(np.float32))
    flat = np.concatenate(columns, axis=1)
    return moments.standardise(flat, rule.clip) if moments and rule.clip else flat


def preprocessed_shape(spec: TaskSpec, rule: Preprocessing) -> tuple[int, ...]:
    """Shape of what one network input holds, stacked."""
    if rule.kind == "image":
        height, width, channels = spec.observations[0].shape
        return ((1 if rule.grey else channels) * rule.stack, height, width)
    sizes = [part.size * (part.num_values or 1) for part in spec.observations]
    return (sum(sizes) * rule.stack,)


class FrameStack:
    """The newest `depth` observations of N environments; zeros before an episode's first."""

    def __init__(self, count: int, depth: int) -> None:
        self._depth, self._fresh = depth, np.ones(count, bool)
        self._held: np.ndarray | None = None

    def begin(self, env_ids: np.ndarray) -> None:
        """The next `push` to these environments is an episode's first."""
        self._fresh[env_ids] = True

    def push(self, new: np.ndarray, env_ids: np.ndarray | None = None) -> np.ndarray:
        """new: [n, C, ...] of `env_ids`, or of all. Returns [n, depth · C, ...], a copy."""
        if self._depth == 1:
            return new
        rows = np.arange(len(self._fresh)) if env_ids is None else env_ids
        channels = new.shape[1]
        if self._held is None:
            self._held = np.zeros((len(self._fresh), channels * self._depth, *new.shape[2:]), new.dtype)
        held = self._held[rows]
        held[self._fresh[rows]] = 0
        held = np.concatenate([held[:, channels:], new], axis=1)
        self._held[rows] = held
        self._fresh[rows] = False
        return held
