"""Turns the time steps of one task into tokens, in the paper's order (appendix B), and back.

The tokens of a step: text, image patches, discrete and continuous tensors (row-major), separator, action.
Shapes: T steps, K positions for each step; a part of an observation takes k of them.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.episode import Observations, PartValues
from gato_dist.sequence import Kind
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.patches import PATCH, from_patches, patch_intervals, to_patches
from gato_dist.tokens.step_size import Encoding, is_compact, part_tokens
from gato_dist.tokens.steps import StepTokens
from gato_dist.tokens.text import TextTokenizer
from gato_dist.tokens.values import BINS, decode_action, decode_continuous, encode_action, encode_continuous
from gato_dist.tokens.vocabulary import Vocabulary

STANDARD_CLIP = 10.0


@dataclass(frozen=True)
class Statistics:
    """Mean and standard deviation of each number of a continuous part. They standardise compact tensors.

    Attributes:
        mean, std: float64 [size of the part].
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]


class TaskTokenizer:
    """Turns one task's observations and actions into tokens, and action tokens into actions."""

    def __init__(
        self,
        spec: TaskSpec,
        vocabulary: Vocabulary,
        text: TextTokenizer,
        encoding: Encoding,
        *,
        statistics: dict[str, Statistics] | None = None,
        tensor_size: int = 0,
        separator: int | None = None,
    ) -> None:
        """Makes the tokenizer of a task.

        Args:
            spec: the task.
            vocabulary: token ids of the run.
            text: encodes text observations.
            encoding: `paper`: a token for every number; `compact`: a token for every tensor.
            statistics: of each continuous part, by name. Only the compact encoding needs them.
            tensor_size: width D to which compact tensors are padded, the same for all tasks of a run.
            separator: id of the task's own separator; by default the shared one.
        """
        self.spec, self.vocabulary, self.text = spec, vocabulary, text
        self.encoding = encoding
        self.statistics = statistics or {}
        self.tensor_size = tensor_size
        self.separator = vocabulary.separator if separator is None else separator
        images = [part for part in spec.observations if part.modality is Modality.IMAGE]
        intervals = [patch_intervals(*part.shape[:2]) for part in images]
        self.patch_positions = np.concatenate(intervals) if intervals else np.zeros((0, 2, 2), np.uint8)
        compact = [part for part in spec.observations if is_compact(part, encoding)]
        self.tensors_per_step = sum(part_tokens(part, encoding) for part in compact)
        # Numbers of a grid fit into a byte. They are most of what a grid world's step holds.
        grids_only = all(part.modality is Modality.DISCRETE for part in compact)
        self.tensor_type: np.dtype[Any] = np.dtype(np.uint8 if compact and grids_only else np.float32)
        self.action_offset = vocabulary.action(spec.action.modality)

    def encode(
        self,
        observations: Observations,
        actions: NDArray[Any] | None = None,
        targets: NDArray[Any] | None = None,
    ) -> StepTokens:
        """Encodes T steps: successive steps of episodes, or one step of a batch of environments.

        Without actions, a step ends with its separator, from which the model predicts the first action token.

        Args:
            observations: each part [T, *part shape], or T strings.
            actions: [T, *action shape], the actions that were taken.
            targets: [T, *action shape], the actions to be learned; by default `actions`.

        Raises:
            ValueError: if a value is NaN, infinite or out of range. The message names the task and the part.
        """
        parts = [self._encode_part(part, observations[part.name]) for part in self.spec.observations]
        steps = len(parts[0].token)
        parts.append(_PartTokens(np.full((steps, 1), self.separator, np.int32), Kind.SEPARATOR))
        observed = sum(part.token.shape[1] for part in parts)
        if actions is not None:
            parts.append(self._encode_actions(actions, steps))
        widths = [part.token.shape[1] for part in parts]
        token = np.concatenate([part.token for part in parts], axis=1)
        kind = np.tile(np.repeat(np.array([part.kind for part in parts], np.uint8), widths), (steps, 1))
        valid, local = np.ones(token.shape, bool), np.empty(token.shape, np.int16)
        for part, end in zip(parts, accumulate(widths), strict=True):
            if part.valid is not None:
                valid[:, end - part.token.shape[1] : end] = part.valid
        np.cumsum(valid[:, :observed], axis=1, out=local[:, :observed])
        local[:, :observed] -= 1
        local[:, observed:] = np.arange(token.shape[1] - observed)
        correction = np.zeros(token.shape, np.int16)
        if actions is not None and targets is not None and not np.array_equal(targets, actions):
            correction[:, observed:] = self._encode_actions(targets, steps).token - token[:, observed:]
        return StepTokens(
            token=token,
            kind=kind,
            local_position=local,
            valid=valid,
            patches=_join_patches([part.patches for part in parts if part.patches is not None], steps),
            patch_positions=self.patch_positions,
            tensors=self._join_tensors([part.tensor for part in parts if part.tensor is not None], steps),
            correction=correction,
        )

    def decode(self, steps: StepTokens) -> tuple[Observations, NDArray[Any] | None]:
        """Decodes observations and, if the steps hold them, actions: the inverse of `encode`, up to the width of bins.

        Compact numbers are restored with float32 precision, clipped to 10 standard deviations.
        """
        has_actions = bool((steps.kind[0] >= Kind.ACTION).any())
        count, size = len(steps), self.spec.action.size
        sizes = [part_tokens(part, self.encoding) for part in self.spec.observations]
        texts = sum(part.modality is Modality.TEXT for part in self.spec.observations)
        # All texts are padded to the longest, so the positions that other parts leave are divided equally among them.
        text_width = (steps.token.shape[1] - sum(sizes) - 1 - size * has_actions) // max(texts, 1)
        observations: Observations = {}
        column = patch = tensor = 0
        for part, part_size in zip(self.spec.observations, sizes, strict=True):
            width = text_width if part.modality is Modality.TEXT else part_size
            tokens, valid = steps.token[:, column : column + width], steps.valid[:, column : column + width]
            column += width
            if part.modality is Modality.TEXT:
                texts_ids = (ids[used].tolist() for ids, used in zip(tokens, valid, strict=True))
                observations[part.name] = [self.text.decode(ids) for ids in texts_ids]
            elif part.modality is Modality.IMAGE:
                image = steps.patches[:, patch : patch + width]
                observations[part.name] = from_patches(image, *part.shape[:2])
                patch += width
            elif is_compact(part, self.encoding):
                numbers = steps.tensors[:, tensor : tensor + width, : part.size // width]
                observations[part.name] = self._decode_compact(part, numbers.reshape(-1, part.size))
                tensor += width
            else:
                observations[part.name] = self._decode_numbers(part, tokens)
        actions = self.decode_actions(steps.token[:, column + 1 :].reshape(count, size)) if has_actions else None
        return observations, actions

    def _decode_compact(self, part: ObservationSpec, flat: NDArray[Any]) -> NDArray[Any]:
        if part.modality is Modality.DISCRETE:
            return flat.astype(np.int64).reshape(-1, *part.shape)
        statistics = self.statistics[part.name]
        return np.asarray(flat * statistics.std + statistics.mean).reshape(-1, *part.shape)

    def _decode_numbers(self, part: ObservationSpec, tokens: NDArray[np.int32]) -> NDArray[Any]:
        if part.modality is Modality.DISCRETE:
            return (tokens - self.vocabulary.discrete).astype(np.int64).reshape(-1, *part.shape)
        return decode_continuous(tokens - self.vocabulary.continuous).reshape(-1, *part.shape)

    def decode_actions(self, tokens: NDArray[Any]) -> NDArray[Any]:
        """Decodes action tokens.

        Args:
            tokens: int [T, A].

        Returns:
            [T, *action shape]: int64 choices, or float32 numbers at the centre of each bin.
        """
        action = self.spec.action
        bins = np.asarray(tokens, np.int64) - self.action_offset
        if action.modality is Modality.DISCRETE:
            return bins.reshape(len(bins), *action.shape)
        values = decode_action(bins, np.array(action.low), np.array(action.high))
        return values.reshape(len(bins), *action.shape).astype(np.float32)

    @property
    def action_ranges(self) -> list[tuple[int, int]]:
        """Valid token ids [first, last) of each element of an action."""
        counts = self.spec.action.num_values or (BINS,) * self.spec.action.size
        return [(self.action_offset, self.action_offset + count) for count in counts]

    def _encode_actions(self, actions: NDArray[Any], steps: int) -> "_PartTokens":
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
        return _PartTokens(bins + self.action_offset, kind)

    def _encode_part(self, part: ObservationSpec, values: PartValues) -> "_PartTokens":
        if part.modality is Modality.TEXT:
            return self._encode_text(list(values))
        array = np.asarray(values)
        if part.modality is Modality.IMAGE:
            patches = to_patches(array)
            return _PartTokens(np.zeros(patches.shape[:2], np.int32), Kind.PATCH, patches=patches)
        flat = array.reshape(len(array), part.size)
        if part.modality is Modality.DISCRETE:
            return self._encode_discrete(part, flat)
        return self._encode_continuous(part, flat)

    def _encode_discrete(self, part: ObservationSpec, flat: NDArray[Any]) -> "_PartTokens":
        integers = _checked_integers(flat, np.array(part.num_values), self.spec.name, part.name)
        if not is_compact(part, self.encoding):
            return _PartTokens(integers.astype(np.int32) + self.vocabulary.discrete, Kind.DISCRETE)
        steps, tokens = len(flat), part_tokens(part, self.encoding)
        tensor = integers.reshape(steps, tokens, part.size // tokens)
        return _PartTokens(np.zeros((steps, tokens), np.int32), Kind.GRID, tensor=tensor)

    def _encode_continuous(self, part: ObservationSpec, flat: NDArray[Any]) -> "_PartTokens":
        try:
            if not is_compact(part, self.encoding):
                return _PartTokens(encode_continuous(flat) + self.vocabulary.continuous, Kind.CONTINUOUS)
            if not np.isfinite(flat).all():
                raise ValueError("values must be finite, got NaN or infinity")
        except ValueError as error:
            raise ValueError(f"{self.spec.name}, {part.name}: {error}") from error
        statistics = self.statistics[part.name]
        standard = np.clip((flat - statistics.mean) / statistics.std, -STANDARD_CLIP, STANDARD_CLIP)
        return _PartTokens(np.zeros((len(flat), 1), np.int32), Kind.TENSOR, tensor=standard[:, None])

    def _encode_text(self, texts: list[str]) -> "_PartTokens":
        # A mission repeats in every step of its episode: each different text is encoded once.
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        row_of_step = np.fromiter(map(rows.__getitem__, texts), np.int64, len(texts))
        encoded = [self.text.encode(text) for text in rows]
        lengths = np.array([len(ids) for ids in encoded])
        table = np.zeros((len(encoded), lengths.max()), np.int32)
        for row, ids in enumerate(encoded):
            table[row, : len(ids)] = ids
        valid = np.arange(table.shape[1]) < lengths[row_of_step, None]
        return _PartTokens(table[row_of_step], Kind.TEXT, valid=valid)

    def _join_tensors(self, tensors: list[NDArray[Any]], steps: int) -> NDArray[Any]:
        """Joins the compact tensors [T, n, size] of all parts as one zero-padded array [T, N, D]."""
        padded = np.zeros((steps, self.tensors_per_step, self.tensor_size), self.tensor_type)
        first = 0
        for tensor in tensors:
            padded[:, first : first + tensor.shape[1], : tensor.shape[2]] = tensor
            first += tensor.shape[1]
        return padded


@dataclass
class _PartTokens:
    """The tokens of one part: token and valid [T, k]; patches [T, k, 16, 16, 3]; tensor [T, k, size]."""

    token: NDArray[np.int32]
    kind: Kind
    valid: NDArray[np.bool_] | None = None
    patches: NDArray[np.uint8] | None = None
    tensor: NDArray[Any] | None = None


def _join_patches(patches: list[NDArray[np.uint8]], steps: int) -> NDArray[np.uint8]:
    """Joins the patches of all images, [T, P, 16, 16, 3]. The patches of a single image are not copied."""
    if len(patches) == 1:
        return patches[0]
    return np.concatenate(patches, axis=1) if patches else np.zeros((steps, 0, PATCH, PATCH, 3), np.uint8)


def _checked_integers(values: NDArray[Any], num_values: NDArray[Any], task: str, part: str) -> NDArray[Any]:
    """Returns `values` [T, n] if all of them are integers in range.

    Args:
        num_values: number of allowed values, for each element or for all.

    Raises:
        ValueError: if a value is not an integer in [0, num_values).
    """
    limit = np.broadcast_to(np.minimum(num_values, BINS), values.shape[1:])
    is_integer = np.issubdtype(values.dtype, np.integer)
    if is_integer and values.size and values.min() >= 0 and (values.max(axis=0) < limit).all():
        return values
    # Checked before any cast: a cast would turn fractions and NaN into integers.
    wrong = np.argwhere(~((values >= 0) & (values < limit) & (is_integer | (values == np.floor(values)))))
    if len(wrong):
        row, element = wrong[0]
        raise ValueError(f"{task}, {part}: integers must lie in [0, {limit[element]}), got {values[row, element]}")
    return values
