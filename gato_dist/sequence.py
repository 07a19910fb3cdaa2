"""Sequences of tokens, as replay stores them, and batches, as the learner reads them.

Shapes: S sequences of one task, or B of several tasks; L tokens each; P image patches and N compact tensors of width D.
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Kind(IntEnum):
    """What a position of a sequence holds. The kind decides how the model embeds the position."""

    PADDING = 0
    TEXT = 1
    PATCH = 2
    DISCRETE = 3
    CONTINUOUS = 4
    TENSOR = 5  # compact encoding: one token for a whole tensor of standardised floats
    GRID = 6  # compact encoding: one token for a whole tensor of small integers
    SEPARATOR = 7
    ACTION = 8
    ACTION_CONTINUOUS = 9


@dataclass(frozen=True, kw_only=True)
class SequenceShape:
    """Array sizes of one task's sequences.

    Attributes:
        length: tokens of a sequence, L.
        patches: room for image patches, P.
        tensors: room for compact tensors, N.
        tensor_size: width of a compact tensor, D.
        tensor_type: dtype of the compact tensors: `uint8` if all of them are grids, otherwise `float32`.
    """

    length: int
    patches: int = 0
    tensors: int = 0
    tensor_size: int = 0
    tensor_type: str = "float32"


@dataclass(kw_only=True)
class Sequences:
    """S sequences of one task.

    A sequence holds one or more segments. A segment is a window of an episode (or a document); positions of different
    segments do not attend to each other.

    Attributes:
        token: int32 [S, L], token ids.
        kind: uint8 [S, L], a `Kind` for each position.
        local_position: int16 [S, L], index of an observation token in its time step, or of an action token in its
            action (paper, appendix C.3).
        segment: int16 [S, L], number of the segment; −1 for padding.
        step: int16 [S, L], index of the time step in its segment.
        loss_mask: bool [S, L], true if the loss is computed for this token.
        correction: int16 [S, L], target token minus the token in `token`. It differs from 0 only if the actor's action
            was not the expert's and a later step of the window sees the action.
        patches: uint8 [S, P, 16, 16, 3], pixels of the patches, in the order of the positions of kind PATCH.
        patch_positions: uint8 [S, P, 2, 2], (row, column) × (first bin, last bin) of each patch in its image.
        tensors: float32 or uint8 [S, N, D], compact tensors, in the order of the positions of kind TENSOR and GRID.
        item_id: int64 [S], identifies the sequence in replay.
        weights_version: int32 [S, 2], lowest and highest weights version that acted in the sequence; −1 for an expert.

    The unused ends of patches, patch_positions and tensors are zero.
    """

    token: NDArray[np.int32]
    kind: NDArray[np.uint8]
    local_position: NDArray[np.int16]
    segment: NDArray[np.int16]
    step: NDArray[np.int16]
    loss_mask: NDArray[np.bool_]
    correction: NDArray[np.int16]
    patches: NDArray[np.uint8]
    patch_positions: NDArray[np.uint8]
    tensors: NDArray[Any]
    item_id: NDArray[np.int64]
    weights_version: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.token)

    @property
    def tokens(self) -> int:
        """Number of tokens that are not padding."""
        return int(np.count_nonzero(self.segment >= 0))

    def item(self, index: int) -> dict[str, NDArray[Any]]:
        """Returns the arrays of one sequence by name."""
        return {field.name: getattr(self, field.name)[index] for field in fields(self)}

    def take(self, index: NDArray[Any] | slice) -> "Sequences":
        """Returns the selected sequences.

        Args:
            index: integers, a boolean mask or a slice over the S sequences.
        """
        return Sequences(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def to_bytes(self) -> NDArray[np.uint8]:
        """Returns uint8 [S, `sequence_bytes`]: the arrays of each sequence one after another, as replay stores them."""
        arrays = (np.ascontiguousarray(getattr(self, field.name)) for field in fields(self))
        flat = (array.reshape(len(self), prod(array.shape[1:])) for array in arrays)
        return np.concatenate([array.view(np.uint8) for array in flat], axis=1)

    @classmethod
    def from_bytes(cls, data: NDArray[np.uint8], shape: SequenceShape) -> "Sequences":
        """Restores sequences from the bytes that `to_bytes` returned.

        Args:
            data: uint8 [S, `sequence_bytes`].
            shape: array sizes of the sequences.

        Raises:
            ValueError: if the data do not have the size of this shape.
        """
        if data.shape[1] != sequence_bytes(shape):
            raise ValueError(f"sequences of {data.shape[1]} bytes, but {shape} takes {sequence_bytes(shape)} bytes")
        return cls(**{name: array.copy() for name, array in _array_views(data, shape).items()})

    @classmethod
    def signature(cls, shape: SequenceShape) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
        """Returns shape and dtype of each array of one sequence, by name."""
        length, count, tensors = (shape.length,), shape.patches, (shape.tensors, shape.tensor_size)
        layout: dict[str, tuple[tuple[int, ...], DTypeLike]] = {
            "token": (length, np.int32),
            "kind": (length, np.uint8),
            "local_position": (length, np.int16),
            "segment": (length, np.int16),
            "step": (length, np.int16),
            "loss_mask": (length, np.bool_),
            "correction": (length, np.int16),
            "patches": ((count, 16, 16, 3), np.uint8),
            "patch_positions": ((count, 2, 2), np.uint8),
            "tensors": (tensors, shape.tensor_type),
            "item_id": ((), np.int64),
            "weights_version": ((2,), np.int32),
        }
        return {name: (dims, np.dtype(kind)) for name, (dims, kind) in layout.items()}


class BlankSequences(Sequences):
    """Sequences of zeros, to be filled in place. Their arrays are views of one buffer, so `to_bytes` copies nothing."""

    def __init__(self, count: int, shape: SequenceShape) -> None:
        self._data = np.zeros((count, sequence_bytes(shape)), np.uint8)
        super().__init__(**_array_views(self._data, shape))

    def to_bytes(self) -> NDArray[np.uint8]:
        """Returns the buffer itself."""
        return self._data


def _array_views(data: NDArray[np.uint8], shape: SequenceShape) -> dict[str, NDArray[Any]]:
    """Returns views of the arrays in `data`, uint8 [S, `sequence_bytes`], by name."""
    arrays, start = {}, 0
    for name, (dims, dtype) in Sequences.signature(shape).items():
        stop = start + prod(dims) * dtype.itemsize
        arrays[name] = data[:, start:stop].view(dtype).reshape(len(data), *dims)
        start = stop
    return arrays


def sequence_bytes(shape: SequenceShape) -> int:
    """Returns the size of one sequence in bytes."""
    return sum(prod(dims) * dtype.itemsize for dims, dtype in Sequences.signature(shape).values())


@dataclass(kw_only=True)
class Batch:
    """B sequences of several tasks.

    Attributes:
        token, kind, local_position, segment, step, loss_mask, correction: [B, L], as in `Sequences`.
        position: int16 [B, L], index of each position in its segment.
        patches: uint8 [ΣP, 16, 16, 3], used patches of all sequences, in the order of the positions of kind PATCH.
        patch_positions: uint8 [ΣP, 2, 2], of the same patches.
        tensors: float32 [ΣN, D], used compact tensors of all sequences, in the order of their positions.
        weights_version: int32 [B, 2], as in `Sequences`.
        task: int16 [B], index of the task in the mixture.
        cursor: int64 [lanes, sources, 2], position in the data on disk after this batch (see replay/loader.py). Empty
            for a batch from live replay.
        damaged: int64 [lanes, sources], damaged documents that were skipped so far. Empty for a batch from live replay.
    """

    token: NDArray[np.int32]
    kind: NDArray[np.uint8]
    local_position: NDArray[np.int16]
    segment: NDArray[np.int16]
    step: NDArray[np.int16]
    position: NDArray[np.int16]
    loss_mask: NDArray[np.bool_]
    correction: NDArray[np.int16]
    patches: NDArray[np.uint8]
    patch_positions: NDArray[np.uint8]
    tensors: NDArray[np.float32]
    weights_version: NDArray[np.int32]
    task: NDArray[np.int16]
    cursor: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0, 2), np.int64))
    damaged: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def tokens(self) -> int:
        """Number of tokens that are not padding."""
        return int(np.count_nonzero(self.segment >= 0))


@dataclass(frozen=True)
class DataPosition:
    """How far a run has read its data on disk.

    Attributes:
        fingerprint: identifies the data.
        seed: decides the order of the data.
        batches: number of batches that were read.
        cursor: int64 [lanes, sources, 2], the next chunk and the next sequence in that chunk (see replay/loader.py).
    """

    fingerprint: str
    seed: int
    batches: int
    cursor: NDArray[np.int64]

    @classmethod
    def start(cls, fingerprint: str, seed: int, lanes: int, sources: int) -> "DataPosition":
        """Returns the position before the first batch."""
        return cls(fingerprint, seed, 0, np.zeros((lanes, sources, 2), np.int64))

    def to_dict(self) -> dict[str, Any]:
        """Returns the position as plain JSON types. `from_dict` is the inverse."""
        return {name: getattr(self, name) for name in ("fingerprint", "seed", "batches")} | {
            "cursor": self.cursor.tolist()
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "DataPosition":
        """Restores a position from what `to_dict` returned."""
        return cls(**data | {"cursor": np.array(data["cursor"], np.int64)})


def join_batches(batches: list[Batch]) -> Batch:
    """Concatenates batches along the B sequences."""
    if len(batches) == 1:
        return batches[0]
    return Batch(**{f.name: np.concatenate([getattr(batch, f.name) for batch in batches]) for f in fields(Batch)})


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Splits a batch into equal parts, in order. The parts are views of the batch.

    Raises:
        ValueError: if the sequences cannot be divided equally.
    """
    sequences = len(batch.token)
    if sequences % parts:
        raise ValueError(f"{sequences} sequences cannot be split into {parts} equal parts")
    if parts == 1:
        return [batch]
    compact = (batch.kind == Kind.TENSOR) | (batch.kind == Kind.GRID)
    counts = {"patches": (batch.kind == Kind.PATCH).sum(1), "tensors": compact.sum(1)}
    ends = {name: np.concatenate([[0], np.cumsum(count)]) for name, count in counts.items()}
    ends["patch_positions"] = ends["patches"]
    split = []
    for first in range(0, sequences, sequences // parts):
        last = first + sequences // parts
        cuts = {name: slice(end[first], end[last]) for name, end in ends.items()}
        shares = {f.name: getattr(batch, f.name)[cuts.get(f.name, slice(first, last))] for f in fields(Batch)}
        split.append(Batch(**shares | {"cursor": batch.cursor, "damaged": batch.damaged}))
    return split


def collate(parts: list[tuple[int, Sequences]], tensor_size: int) -> Batch:
    """Makes one batch from sequences of several tasks.

    Args:
        parts: pairs of a task's index in the mixture and sequences of this task.
        tensor_size: width D to which all compact tensors are padded.

    Raises:
        ValueError: if there is no sequence.
    """
    parts = [(task, sequences) for task, sequences in parts if len(sequences)]
    if not parts:
        raise ValueError("a batch needs at least one sequence")

    def concatenate(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(sequences, name) for _, sequences in parts])

    segment = concatenate("segment")
    patches, patch_positions, tensors = [], [], []
    for _, sequences in parts:
        used = _used_slots((sequences.kind == Kind.PATCH).sum(1), sequences.patches.shape[1])
        patches.append(sequences.patches[used])
        patch_positions.append(sequences.patch_positions[used])
        compact = ((sequences.kind == Kind.TENSOR) | (sequences.kind == Kind.GRID)).sum(1)
        values = sequences.tensors[_used_slots(compact, sequences.tensors.shape[1])].astype(np.float32, copy=False)
        tensors.append(np.pad(values, ((0, 0), (0, tensor_size - values.shape[1]))))
    return Batch(
        token=concatenate("token"),
        kind=concatenate("kind"),
        local_position=concatenate("local_position"),
        segment=segment,
        step=concatenate("step"),
        position=segment_positions(segment),
        loss_mask=concatenate("loss_mask"),
        correction=concatenate("correction"),
        patches=np.concatenate(patches),
        patch_positions=np.concatenate(patch_positions),
        tensors=np.concatenate(tensors),
        weights_version=concatenate("weights_version"),
        task=np.concatenate([np.full(len(sequences), task, np.int16) for task, sequences in parts]),
    )


def _used_slots(counts: NDArray[Any], room: int) -> NDArray[np.bool_]:
    """Returns a mask [S, room] of the first `counts[s]` slots of each sequence."""
    mask: NDArray[np.bool_] = np.arange(room) < counts[:, None]
    return mask


def segment_positions(segment: NDArray[np.int16]) -> NDArray[np.int16]:
    """Returns the index of each position in its segment, int16 [B, L], from segment numbers [B, L]."""
    index = np.broadcast_to(np.arange(segment.shape[1]), segment.shape)
    starts = np.ones(segment.shape, bool)
    starts[:, 1:] = segment[:, 1:] != segment[:, :-1]
    positions: NDArray[np.int16] = (index - np.maximum.accumulate(np.where(starts, index, 0), axis=1)).astype(np.int16)
    return positions
