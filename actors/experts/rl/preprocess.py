"""Turns a task's observations into the inputs of a trained expert's network, in training and in acting alike."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Array
from gato_dist.specs import Modality, TaskSpec

# Weights of red, green and blue in ITU-R 601, as in Atari's grey screens.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
EPSILON = 1e-8


@dataclass(frozen=True)
class Preprocessing:
    """How observations become one array. It is stored with the weights.

    Attributes:
        kind: `flat` for all parts in the spec's order, discrete ones one-hot; `image` for one image, channels first.
        grey: whether images become grey.
        stack: how many of the last observations the network sees at once, oldest first, along the first axis after N.
        clip: bound of standardised numbers; 0 if they are not standardised.
    """

    kind: Literal["flat", "image"]
    grey: bool = False
    stack: int = 1
    clip: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class RunningStatistics:
    """Running mean and variance of vectors (parallel algorithm of Chan, Golub and LeVeque 1983).

    Attributes:
        mean: float64 [D].
        variance: float64 [D].
        count: number of vectors.
    """

    def __init__(self, mean: Array, variance: Array, count: float = EPSILON) -> None:
        self.mean, self.variance, self.count = np.asarray(mean, float), np.asarray(variance, float), count

    @classmethod
    def of_size(cls, size: int) -> "RunningStatistics":
        """Returns statistics of no vectors yet: mean 0 and variance 1."""
        return cls(np.zeros(size), np.ones(size))

    def update(self, values: Array) -> None:
        """Adds vectors, [N, D]."""
        count, total = len(values), self.count + len(values)
        delta = values.mean(0, dtype=np.float64) - self.mean
        spread = self.variance * self.count + values.var(0, dtype=np.float64) * count
        self.variance = (spread + delta**2 * self.count * count / total) / total
        self.mean = self.mean + delta * count / total
        self.count = total

    def standardise(self, values: Array, clip: float) -> Array:
        """Standardises vectors [N, D] and clips them to ±clip. Returns float32 [N, D]."""
        scaled = (values - self.mean) / np.sqrt(self.variance + EPSILON)
        return np.clip(scaled, -clip, clip).astype(np.float32)


def default_preprocessing(spec: TaskSpec, stack: int | None = None, standardise: bool = False) -> Preprocessing:
    """Returns the preprocessing of a task: `flat` for state, `image` for pixels, grey and 4 frames deep on ALE.

    Args:
        spec: the task's observations.
        stack: how many observations the network sees; None for the default.
        standardise: whether state is standardised.

    Raises:
        InputError: if the observations hold text, or an image and state.
    """
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
    spec: TaskSpec,
    preprocessing: Preprocessing,
    observations: Observations,
    statistics: RunningStatistics | None = None,
) -> Array:
    """Preprocesses one observation of each environment, before stacking.

    Args:
        spec: the task's observations.
        preprocessing: what to do.
        observations: the parts of the observation by name, each [N, ...].
        statistics: to standardise with; None to leave numbers.

    Returns:
        float32 [N, D], or uint8 [N, C, H, W] for images.
    """
    if preprocessing.kind == "image":
        frames = np.asarray(observations[spec.observations[0].name])
        if preprocessing.grey:
            return np.rint(frames @ LUMA).astype(np.uint8)[:, None]
        return np.ascontiguousarray(frames.transpose(0, 3, 1, 2))
    columns = []
    for part in spec.observations:
        values = np.asarray(observations[part.name])
        if part.modality is Modality.DISCRETE:
            values = np.eye(part.num_values, dtype=np.float32)[values]
        columns.append(values.reshape(len(values), -1).astype(np.float32))
    flat = np.concatenate(columns, axis=1)
    return statistics.standardise(flat, preprocessing.clip) if statistics and preprocessing.clip else flat


def preprocessed_shape(spec: TaskSpec, preprocessing: Preprocessing) -> tuple[int, ...]:
    """Returns the shape of one stacked input of the network: (D,) or (C, H, W)."""
    if preprocessing.kind == "image":
        height, width, channels = spec.observations[0].shape
        return ((1 if preprocessing.grey else channels) * preprocessing.stack, height, width)
    sizes = [part.size * (part.num_values or 1) for part in spec.observations]
    return (sum(sizes) * preprocessing.stack,)


class FrameStack:
    """Stacks the last observations of N environments, with zeros before an episode's first.

    Args:
        count: number of environments, N.
        depth: number of observations.
    """

    def __init__(self, count: int, depth: int) -> None:
        self._depth, self._begins = depth, np.ones(count, bool)
        self._held: Array | None = None

    def begin(self, env_ids: Array) -> None:
        """Announces that the next `push` to these environments begins an episode."""
        self._begins[env_ids] = True

    def push(self, new: Array, env_ids: Array | None = None) -> Array:
        """Adds an observation to each environment's stack.

        Args:
            new: preprocessed observations, [M, C, ...].
            env_ids: the environments that they belong to, int [M]; None for all.

        Returns:
            A new array with the stacks of these environments, [M, depth · C, ...].
        """
        if self._depth == 1:
            return new
        rows = np.arange(len(self._begins)) if env_ids is None else env_ids
        channels = new.shape[1]
        if self._held is None:
            self._held = np.zeros((len(self._begins), channels * self._depth, *new.shape[2:]), new.dtype)
        held = self._held[rows]
        held[self._begins[rows]] = 0
        held = np.concatenate([held[:, channels:], new], axis=1)
        self._held[rows] = held
        self._begins[rows] = False
        return held
