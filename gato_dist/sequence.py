"""Sequences: fixed rows of L tokens that replay holds, and the batch that the learner eats."""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from math import prod
from typing import Any

import numpy as np
from numpy.typing import DTypeLike


class Kind(IntEnum):
    """What a position holds; it decides how the model embeds it."""

    PADDING = 0
    TEXT = 1
    PATCH = 2
    DISCRETE = 3
    CONTINUOUS = 4
    TENSOR = 5  # compact: a whole tensor of standardised floats rides beside
    GRID = 6  # compact: a whole tensor of small integers rides beside
    SEPARATOR = 7
    ACTION = 8
    ACTION_CONTINUOUS = 9


@dataclass(frozen=True)
class SequenceShape:
    """Sizes of one task's rows: length L, patches P and compact tensors N of width D that ride beside.

    tensor_type: of the tensors' numbers; `uint8` where all of them are grids.
    """

    length: int
    patches: int
    tensors: int
    tensor_size: int
    tensor_type: str = "float32"


@dataclass
class Sequences:
    """R rows of one task, each with one or more segments: windows of an episode that do not see one another.

    token int32, kind uint8, local_position int16, segment int16 (−1: padding), step int16 (inside the segment),
    loss_mask bool, correction int16: all [R, L]. patches uint8 [R, P, 16, 16, 3], places uint8 [R, P, 2, 2], tensors
    float32 or uint8 [R, N, D]: zero-padded, consumed in order by the positions that need them.
    correction: the token that the loss asks for less the one that is shown; 0 but where an action was not what is to be
    learned, and a later step of its window sees it.
    item_id int64 [R]; weights_version int32 [R, 2]: lowest and highest that acted in the row (−1: an expert).
    """

    token: np.ndarray
    kind: np.ndarray
    local_position: np.ndarray
    segment: np.ndarray
    step: np.ndarray
    loss_mask: np.ndarray
    correction: np.ndarray
    patches: np.ndarray
    places: np.ndarray
    tensors: np.ndarray
    item_id: np.ndarray
    weights_version: np.ndarray

    def __len__(self) -> int:
        return len(self.token)

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int(np.count_nonzero(self.segment >= 0))

    def row(self, index: int) -> dict[str, np.ndarray]:
        """One row as a dict of arrays."""
        return {field.name: getattr(self, field.name)[index] for field in fields(self)}

    def take(self, which: np.ndarray | slice) -> "Sequences":
        """Some of the rows, or all in another order."""
        return Sequences(**{field.name: getattr(self, field.name)[which] for field in fields(self)})

    def to_bytes(self) -> np.ndarray:
        """uint8 [R, `sequence_bytes`]: the arrays of each row one after the other, which is what a replay item holds."""
        arrays = (np.ascontiguousarray(getattr(self, field.name)) for field in fields(self))
        flat = (array.reshape(len(self), prod(array.shape[1:])) for array in arrays)
        return np.concatenate([array.view(np.uint8) for array in flat], axis=1)

    @classmethod
    def from_bytes(cls, data: np.ndarray, shape: SequenceShape) -> "Sequences":
        """The inverse of `to_bytes`. Raises ValueError for rows of another shape."""
        if data.shape[1] != sequence_bytes(shape):
            raise ValueError(f"rows of {data.shape[1]} bytes where {shape} has {sequence_bytes(shape)}")
        return cls(**{name: array.copy() for name, array in _arrays_in(data, shape).items()})

    @classmethod
    def signature(cls, shape: SequenceShape) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        """Shape and dtype of each array of one row."""
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
            "places": ((count, 2, 2), np.uint8),
            "tensors": (tensors, shape.tensor_type),
            "item_id": ((), np.int64),
            "weights_version": ((2,), np.int32),
        }
        return {name: (dims, np.dtype(kind)) for name, (dims, kind) in layout.items()}


class BlankSequences(Sequences):
    """R rows of zeros, to be filled in place: their arrays lie as `to_bytes` wants them, which copies nothing."""

    def __init__(self, count: int, shape: SequenceShape) -> None:
        self._data = np.zeros((count, sequence_bytes(shape)), np.uint8)
        super().__init__(**_arrays_in(self._data, shape))

    def to_bytes(self) -> np.ndarray:
        return self._data


def _arrays_in(data: np.ndarray, shape: SequenceShape) -> dict[str, np.ndarray]:
    """The arrays of rows as bytes [R, `sequence_bytes`], by name: views."""
    arrays, start = {}, 0
    for name, (dims, dtype) in Sequences.signature(shape).items():
        stop = start + prod(dims) * dtype.itemsize
        arrays[name] = data[:, start:stop].view(dtype).reshape(len(data), *dims)
        start = stop
    return arrays


def sequence_bytes(shape: SequenceShape) -> int:
    """Size of a row as bytes."""
    return sum(prod(dims) * dtype.itemsize for dims, dtype in Sequences.signature(shape).values())


@dataclass
class Batch:
    """B rows of several tasks. token, kind, local_position, segment, step, position, loss_mask, correction: [B, L] as
    in `Sequences`.

    position int16: index inside the segment. patches uint8 [ΣP, 16, 16, 3], places uint8 [ΣP, 2, 2] and tensors
    float32 [ΣN, D] are those of all rows, in the order of the positions that consume them.
    weights_version int32 [B, 2]; task int16 [B]: index into the mixture's tasks. cursor int64 [lanes, sources, 2]:
    where data from disk stand after this batch (replay/loader.py); empty where they come from replay.
    damaged int64 [lanes, sources]: documents that were skipped so far; empty likewise.
    """

    token: np.ndarray
    kind: np.ndarray
    local_position: np.ndarray
    segment: np.ndarray
    step: np.ndarray
    position: np.ndarray
    loss_mask: np.ndarray
    correction: np.ndarray
    patches: np.ndarray
    places: np.ndarray
    tensors: np.ndarray
    weights_version: np.ndarray
    task: np.ndarray
    cursor: np.ndarray = field(default_factory=lambda: np.zeros((0, 0, 2), np.int64))
    damaged: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return int(np.count_nonzero(self.segment >= 0))


@dataclass(frozen=True)
class DataPosition:
    """Where a run stands in data from disk. fingerprint: of the data; seed: of their order; batches: taken so far.

    cursor int64 [lanes, sources, 2]: the chunk and the row inside it that come next (replay/loader.py).
    """

    fingerprint: str
    seed: int
    batches: int
    cursor: np.ndarray

    @classmethod
    def start(cls, fingerprint: str, seed: int, lanes: int, sources: int) -> "DataPosition":
        return cls(fingerprint, seed, 0, np.zeros((lanes, sources, 2), np.int64))

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("fingerprint", "seed", "batches")} | {
            "cursor": self.cursor.tolist()
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "DataPosition":
        return cls(**data | {"cursor": np.array(data["cursor"], np.int64)})


def join_batches(batches: list[Batch]) -> Batch:
    """One batch of the rows of all."""
    if len(batches) == 1:
        return batches[0]
    return Batch(**{f.name: np.concatenate([getattr(batch, f.name) for batch in batches]) for f in fields(Batch)})


def split_batch(batch: Batch, parts: int) -> list[Batch]:
    """Equal shares of a batch's rows, in order, as views. Raises ValueError where there are none."""
    rows = len(batch.token)
    if rows % parts:
        raise ValueError(f"{rows} rows cannot be split into {parts} equal parts")
    if parts == 1:
        return [batch]
    compact = (batch.kind == Kind.TENSOR) | (batch.kind == Kind.GRID)
    many = {"patches": (batch.kind == Kind.PATCH).sum(1), "tensors": compact.sum(1)}
    ends = {name: np.concatenate([[0], np.cumsum(count)]) for name, count in many.items()}
    ends["places"] = ends["patches"]
    split = []
    for first in range(0, rows, rows // parts):
        last = first + rows // parts
        cuts = {name: slice(end[first], end[last]) for name, end in ends.items()}
        shares = {f.name: getattr(batch, f.name)[cuts.get(f.name, slice(first, last))] for f in fields(Batch)}
        split.append(Batch(**shares | {"cursor": batch.cursor, "damaged": batch.damaged}))
    return split


def collate(parts: list[tuple[int, Sequences]], tensor_size: int) -> Batch:
    """One batch of the rows of several tasks, given as (task index, rows); tensors are padded to `tensor_size`.

    Raises ValueError where there is no row.
    """
    parts = [(task, rows) for task, rows in parts if len(rows)]
    if not parts:
        raise ValueError("a batch needs at least one row")

    def stack(name: str) -> np.ndarray:
        return np.concatenate([getattr(rows, name) for _, rows in parts])

    segment, kind = stack("segment"), stack("kind")
    patches, places, tensors = [], [], []
    for _, rows in parts:
        used = _used((rows.kind == Kind.PATCH).sum(1), rows.patches.shape[1])
        patches.append(rows.patches[used])
        places.append(rows.places[used])
        compact = ((rows.kind == Kind.TENSOR) | (rows.kind == Kind.GRID)).sum(1)
        ride = rows.tensors[_used(compact, rows.tensors.shape[1])]
        tensors.append(np.pad(ride.astype(np.float32, copy=False), ((0, 0), (0, tensor_size - ride.shape[1]))))
    return Batch(
        stack("token"), kind, stack("local_position"), segment, stack("step"), segment_positions(segment),
        stack("loss_mask"), stack("correction"),
        np.concatenate(patches), np.concatenate(places), np.concatenate(tensors),
        stack("weights_version"), np.concatenate([np.full(len(rows), task, np.int16) for task, rows in parts]),
    )  # fmt: skip


def _used(counts: np.ndarray, room: int) -> np.ndarray:
    """Mask [R, room] of the first `counts[r]` slots of each row."""
    return np.arange(room) < counts[:, None]


def segment_positions(segment: np.ndarray) -> np.ndarray:
    """Index of each position inside its segment: int16 [B, L] from segment ids [B, L]."""
    index = np.broadcast_to(np.arange(segment.shape[1]), segment.shape)
    starts = np.ones(segment.shape, bool)
    starts[:, 1:] = segment[:, 1:] != segment[:, :-1]
    return (index - np.maximum.accumulate(np.where(starts, index, 0), axis=1)).astype(np.int16)
