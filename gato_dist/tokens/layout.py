"""Where each kind of token lies in the vocabulary, and the order of a time step's tokens (paper, appendix B)."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import numpy as np

from gato_dist.episode import Observations
from gato_dist.sequence import Kind
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.images import PATCH, from_patches, patch_intervals, patches_per_image, to_patches
from gato_dist.tokens.steps import StepTokens
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.values import BINS, decode_action, decode_continuous, encode_action, encode_continuous

Scheme = Literal["paper", "disjoint"]
Encoding = Literal["paper", "compact"]
Separators = Literal["shared", "task"]
STANDARD_CLIP = 10.0
GRID_VALUES = 16  # of a compact grid's numbers


@dataclass(frozen=True)
class Vocabulary:
    """First ids of each range. `paper` reuses text ids for integers; `disjoint` gives each range its own ids.

    own_separators: tasks that have a separator of their own, behind the one that all share.
    Raises ValueError where `paper` ranges would overlap: its text_size must hold the 1024 integers.
    """

    text_size: int = 32000
    scheme: Scheme = "paper"
    own_separators: int = 0

    def __post_init__(self) -> None:
        if self.scheme == "paper" and self.text_size < BINS:
            raise ValueError(f"the paper's vocabulary needs text_size ≥ {BINS}, got {self.text_size}")

    @property
    def discrete(self) -> int:
        return 0 if self.scheme == "paper" else self.text_size

    @property
    def continuous(self) -> int:
        return self.text_size

    def action(self, modality: Modality) -> int:
        if self.scheme == "disjoint":
            return self.text_size + BINS
        return 0 if modality is Modality.DISCRETE else self.text_size

    @property
    def separator(self) -> int:
        return self.text_size + (BINS if self.scheme == "paper" else 2 * BINS)

    @property
    def size(self) -> int:
        return self.separator + 1 + self.own_separators


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each number of a part, float64 [size]; they standardise compact tensors."""

    mean: np.ndarray
    std: np.ndarray


class TaskTokenizer:
    """Turns one task's observations and actions into tokens, and action tokens into actions.

    statistics: for every continuous part, needed by the compact encoding only. tensor_size D: the width to which
    compact tensors are padded, shared by all tasks of a run. separator: the task's own id; the shared one where not
    given.
    """

    def __init__(
        self,
        spec: TaskSpec,
        vocabulary: Vocabulary,
        text: TextTokenizer,
        encoding: Encoding,
        statistics: dict[str, Statistics] | None = None,
        tensor_size: int = 0,
        separator: int | None = None,
    ) -> None:
        self.spec, self.vocabulary, self.text = spec, vocabulary, text
        self.encoding = encoding
        self.statistics = statistics or {}
        self.tensor_size = tensor_size
        self.separator = vocabulary.separator if separator is None else separator
        images = [part for part in spec.observations if part.modality is Modality.IMAGE]
        places = [patch_intervals(*part.shape[:2]) for part in images]
        self.places = np.concatenate(places) if places else np.zeros((0, 2, 2), np.uint8)
        compact = [part for part in spec.observations if _is_compact(part, encoding)]
        self.tensors_per_step = sum(part_tokens(part, encoding) for part in compact)
        # Grids alone need a byte a number, and are most of what a grid world's step holds.
        grids = all(part.modality is Modality.DISCRETE for part in compact)
        self.tensor_type = np.dtype(np.uint8 if compact and grids else np.float32)
        self.action_offset = vocabulary.action(spec.action.modality)

    def encode(
        self, observations: Observations, actions: np.ndarray | None = None, targets: np.ndarray | None = None
    ) -> StepTokens:
        """T observations (a time axis or a batch of environments) and, if given, their actions [T, *shape].

        targets: like actions; what is to be learned at each step, where that is not what was done.
        Without actions a step ends with its separator: the next token to predict is the first action's.
        Raises ValueError that names the task and the part for NaN, infinity or a value outside its range.
        """
        parts = [self._encode_part(part, observations[part.name]) for part in self.spec.observations]
        steps = len(parts[0].token)
        separator = np.full((steps, 1), self.separator, np.int32)
        parts.append(_Columns(separator, Kind.SEPARATOR))
        seen = sum(part.token.shape[1] for part in parts)
        if actions is not None:
            parts.append(self._encode_actions(actions, steps))
        widths = [part.token.shape[1] for part in parts]
        token = np.concatenate([part.token for part in parts], axis=1)
        kind = np.tile(np.repeat(np.array([part.kind for part in parts], np.uint8), widths), (steps, 1))
        valid, local = np.ones(token.shape, bool), np.empty(token.shape, np.int16)
        for part, end in zip(parts, accumulate(widths), strict=True):
            if part.valid is not None:
                valid[:, end - part.token.shape[1] : end] = part.valid
        np.cumsum(valid[:, :seen], axis=1, out=local[:, :seen])
        local[:, :seen] -= 1
        local[:, seen:] = np.arange(token.shape[1] - seen)
        correction = np.zeros(token.shape, np.int16)
        if actions is not None and targets is not None and not np.array_equal(targets, actions):
            correction[:, seen:] = self._encode_actions(targets, steps).token - token[:, seen:]
        patches = [part.patches for part in parts if part.patches is not None]
        return StepTokens(
            token, kind, local, valid,
            _beside(patches, steps),
            self.places,
            self._pad_tensors([part.tensor for part in parts if part.tensor is not None], steps),
            correction,
        )  # fmt: skip

    def decode(self, steps: StepTokens) -> tuple[Observations, np.ndarray | None]:
        """The inverse of `encode`, up to the width of bins: observations, and actions where the steps hold them.

        Compact numbers come back to float32 precision, clipped to 10 standard deviations.
        """
        has_actions = bool((steps.kind[0] >= Kind.ACTION).any())
        count, size = len(steps), self.spec.action.size
        sizes = [part_tokens(part, self.encoding) for part in self.spec.observations]
        texts = sum(part.modality is Modality.TEXT for part in self.spec.observations)
        # Texts are padded to the longest: what the other parts leave of the columns is theirs.
        text_width = (steps.token.shape[1] - sum(sizes) - 1 - size * has_actions) // max(texts, 1)
        observations: Observations = {}
        column = patch = tensor = 0
        for part, width in zip(self.spec.observations, sizes, strict=True):
            width = text_width if part.modality is Modality.TEXT else width
            tokens, valid = (array[:, column : column + width] for array in (steps.token, steps.valid))
            column += width
            if part.modality is Modality.TEXT:
                rows = zip(tokens, valid, strict=True)
                observations[part.name] = [self.text.decode(row[real].tolist()) for row, real in rows]
            elif part.modality is Modality.IMAGE:
                image = steps.patches[:, patch : patch + width]
                observations[part.name] = from_patches(image, *part.shape[:2])
                patch += width
            elif _is_compact(part, self.encoding):
                numbers = steps.tensors[:, tensor : tensor + width, : part.size // width]
                observations[part.name] = self._decode_compact(part, numbers.reshape(-1, part.size))
                tensor += width
            else:
                observations[part.name] = self._decode_numbers(part, tokens)
        actions = self.decode_actions(steps.token[:, column + 1 :].reshape(count, size)) if has_actions else None
        return observations, actions

    def _decode_compact(self, part: ObservationSpec, flat: np.ndarray) -> np.ndarray:
        if part.modality is Modality.DISCRETE:
            return flat.astype(np.int64).reshape(-1, *part.shape)
        stats = self.statistics[part.name]
        return (flat * stats.std + stats.mean).reshape(-1, *part.shape)

    def _decode_numbers(self, part: ObservationSpec, tokens: np.ndarray) -> np.ndarray:
        if part.modality is Modality.DISCRETE:
            return (tokens - self.vocabulary.discrete).astype(np.int64).reshape(-1, *part.shape)
        return decode_continuous(tokens - self.vocabulary.continuous).reshape(-1, *part.shape)

    def decode_actions(self, tokens: np.ndarray) -> np.ndarray:
        """Action tokens [T, A] to actions [T, *shape]: int64 choices, or float32 at each bin's centre."""
        action = self.spec.action
        bins = np.asarray(tokens, np.int64) - self.action_offset
        if action.modality is Modality.DISCRETE:
            return bins.reshape(len(bins), *action.shape)
        values = decode_action(bins, np.array(action.low), np.array(action.high))
        return values.reshape(len(bins), *action.shape).astype(np.float32)

    @property
    def action_ranges(self) -> list[tuple[int, int]]:
        """[first, last) ids of the valid tokens of each element of an action."""
        counts = self.spec.action.num_values or (BINS,) * self.spec.action.size
        return [(self.action_offset, self.action_offset + count) for count in counts]

    def _encode_actions(self, actions: np.ndarray, steps: int) -> "_Columns":
        action = self.spec.action
        flat = np.asarray(actions).reshape(steps, action.size)
        if action.modality is Modality.DISCRETE:
            bins = _checked_integers(flat, np.array(action.num_values), self.spec.name, "action").astype(np.int32)
            kind = Kind.ACTION
        else:
            try:
                bins = encode_action(flat, np.array(action.low), np.array(action.high))
            except ValueError as error:
                raise ValueError(f"{self.spec.name}, action: {error}") from error
            kind = Kind.ACTION_CONTINUOUS
        return _Columns(bins + self.action_offset, kind)

    def _encode_part(self, part: ObservationSpec, values: np.ndarray | list[str]) -> "_Columns":
        if part.modality is Modality.TEXT:
            return self._encode_text(list(values))
        array = np.asarray(values)
        steps = len(array)
        if part.modality is Modality.IMAGE:
            patches = to_patches(array)
            return _Columns(np.zeros(patches.shape[:2], np.int32), Kind.PATCH, patches=patches)
        flat = array.reshape(steps, part.size)
        if part.modality is Modality.DISCRETE:
            integers = _checked_integers(flat, np.array(part.num_values), self.spec.name, part.name)
            if _is_compact(part, self.encoding):
                rows = part_tokens(part, self.encoding)
                tensor = integers.reshape(steps, rows, part.size // rows)
                return _Columns(np.zeros((steps, rows), np.int32), Kind.GRID, tensor=tensor)
            return _Columns(integers.astype(np.int32) + self.vocabulary.discrete, Kind.DISCRETE)
        if self.encoding == "compact":
            stats = self.statistics[part.name]
            if not np.isfinite(flat).all():
                raise ValueError(f"{self.spec.name}, {part.name}: values must be finite, got NaN or infinity")
            standard = np.clip((flat - stats.mean) / stats.std, -STANDARD_CLIP, STANDARD_CLIP)
            return _Columns(np.zeros((steps, 1), np.int32), Kind.TENSOR, tensor=standard[:, None])
        try:
            return _Columns(encode_continuous(flat) + self.vocabulary.continuous, Kind.CONTINUOUS)
        except ValueError as error:
            raise ValueError(f"{self.spec.name}, {part.name}: {error}") from error

    def _encode_text(self, texts: list[str]) -> "_Columns":
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        which = np.fromiter(map(rows.__getitem__, texts), np.int64, len(texts))
        ids = [self.text.encode(text) for text in rows]
        lengths = np.array([len(row) for row in ids])
        table = np.zeros((len(ids), lengths.max()), np.int32)
        for row, tokens in enumerate(ids):
            table[row, : len(tokens)] = tokens
        return _Columns(table[which], Kind.TEXT, valid=np.arange(table.shape[1]) < lengths[which, None])

    def _pad_tensors(self, tensors: list[np.ndarray], steps: int) -> np.ndarray:
        """Compact tensors [T, n, size] of each part as one array [T, N, D]."""
        padded = np.zeros((steps, self.tensors_per_step, self.tensor_size), self.tensor_type)
        first = 0
        for tensor in tensors:
            padded[:, first : first + tensor.shape[1], : tensor.shape[2]] = tensor
            first += tensor.shape[1]
        return padded


@dataclass
class _Columns:
    """Neighbouring positions of one part: token [T, k], its kind, and what rides beside."""

    token: np.ndarray
    kind: Kind
    valid: np.ndarray | None = None
    patches: np.ndarray | None = None
    tensor: np.ndarray | None = None


def _beside(patches: list[np.ndarray], steps: int) -> np.ndarray:
    """The images' patches of each step, [T, P, 16, 16, 3]; those of one image are not copied."""
    if len(patches) == 1:
        return patches[0]
    return np.concatenate(patches, axis=1) if patches else np.zeros((steps, 0, PATCH, PATCH, 3), np.uint8)


def observation_tokens(spec: TaskSpec, encoding: Encoding) -> int:
    """Observation tokens of one step, text and separator left out."""
    return sum(part_tokens(part, encoding) for part in spec.observations)


def tensor_width(spec: TaskSpec, encoding: Encoding) -> int:
    """Numbers of the task's largest compact tensor; 0 where it has none."""
    compact = [part for part in spec.observations if _is_compact(part, encoding)]
    return max((part.size // part_tokens(part, encoding) for part in compact), default=0)


def part_tokens(part: ObservationSpec, encoding: Encoding) -> int:
    """Tokens of one step of this part; 0 for text, whose length varies."""
    if part.modality is Modality.TEXT:
        return 0
    if part.modality is Modality.IMAGE:
        return patches_per_image(*part.shape[:2])
    if not _is_compact(part, encoding):
        return part.size
    # What a mission's words look for lies in some cell: attention finds it in a row, not in a sum over all of them.
    return part.shape[0] if part.modality is Modality.DISCRETE and len(part.shape) > 1 else 1


def _is_compact(part: ObservationSpec, encoding: Encoding) -> bool:
    """Larger integers than a grid's stay tokens of their own."""
    small = part.modality is Modality.DISCRETE and part.num_values <= GRID_VALUES
    return encoding == "compact" and (small or part.modality is Modality.CONTINUOUS)


def _checked_integers(values: np.ndarray, num_values: np.ndarray, task: str, name: str) -> np.ndarray:
    """`values` [T, n], all of them integers; num_values: of each element, or of all. Raises ValueError where not."""
    limit = np.broadcast_to(np.minimum(num_values, BINS), values.shape[1:])
    whole = np.issubdtype(values.dtype, np.integer)
    if whole and values.size and values.min() >= 0 and (values.max(axis=0) < limit).all():
        return values
    # Before any cast, which would make integers of fractions and of NaN.
    wrong = np.argwhere(~((values >= 0) & (values < limit) & (whole | (values == np.floor(values)))))
    if len(wrong):
        row, element = wrong[0]
        raise ValueError(f"{task}, {name}: integers must lie in [0, {limit[element]}), got {values[row, element]}")
    return values
