"""Cuts episodes into windows and packs the windows of a task into rows of equal length."""

from dataclasses import dataclass

import numpy as np

from gato_dist.kinds import Kind
from gato_dist.sequence import Rows, RowShape
from gato_dist.specs import TaskSpec
from gato_dist.tokens.layout import Encoding, StepTokens, TaskTokenizer, observation_tokens


def row_shape(tokenizer: TaskTokenizer, length: int) -> RowShape:
    """Room that any row of `length` tokens of this task needs."""
    steps = length // min_step_tokens(tokenizer.spec, tokenizer.encoding)
    return RowShape(
        length, steps * len(tokenizer.places), steps * tokenizer.tensors_per_step,
        tokenizer.tensor_size if tokenizer.tensors_per_step else 0,
    )  # fmt: skip


def min_step_tokens(spec: TaskSpec, encoding: Encoding) -> int:
    """Tokens of a step without its text: observations, separator, actions."""
    return observation_tokens(spec, encoding) + 1 + spec.action.size


@dataclass
class _Pool:
    """Flat windows that wait for a row. Per token: token … loss_mask and segment; the rest per segment's rides."""

    token: np.ndarray
    kind: np.ndarray
    local_position: np.ndarray
    step: np.ndarray
    segment: np.ndarray
    patches: np.ndarray
    places: np.ndarray
    tensors: np.ndarray
    versions: np.ndarray  # [segments]

    _PER_TOKEN = ("token", "kind", "local_position", "step", "segment")

    def lengths(self) -> np.ndarray:
        return np.bincount(self.segment, minlength=len(self.versions))

    def take(self, order: np.ndarray) -> "_Pool":
        """The segments of `order`, in that order, numbered anew."""
        rank = np.full(len(self.versions), -1, np.int64)
        rank[order] = np.arange(len(order))
        new_segment = rank[self.segment]
        pick = np.argsort(new_segment, kind="stable")[np.count_nonzero(new_segment < 0) :]
        is_patch, is_tensor = self.kind == Kind.PATCH, _is_tensor(self.kind)
        patch_pick = (np.cumsum(is_patch) - 1)[pick[is_patch[pick]]]
        tensor_pick = (np.cumsum(is_tensor) - 1)[pick[is_tensor[pick]]]
        return _Pool(
            self.token[pick], self.kind[pick], self.local_position[pick], self.step[pick], new_segment[pick],
            self.patches[patch_pick], self.places[patch_pick], self.tensors[tensor_pick], self.versions[order],
        )  # fmt: skip

    def join(self, other: "_Pool") -> "_Pool":
        both = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in self.__dataclass_fields__}
        both["segment"] = np.concatenate([self.segment, other.segment + len(self.versions)])
        return _Pool(**both)


class Packer:
    """Packs windows of `window_steps` steps (0: as many as fit) of one task's episodes into rows of L tokens.

    Windows tile an episode from a random first cut, so that every action carries loss exactly once. They are
    shuffled before they are packed, and what does not fill a row waits for the next episode.
    keep_repeats: the share that is kept of windows whose actions only repeat the step before them. Experts hold
    actions for long, and what matters is when they change (Wen et al., 2021, arXiv 2106.06452).
    Raises ValueError where one window is longer than a row.
    """

    def __init__(
        self,
        tokenizer: TaskTokenizer,
        length: int,
        window_steps: int,
        seed: int,
        first_item: int = 0,
        keep_repeats: float = 1.0,
    ) -> None:
        self._keep_repeats = keep_repeats
        self._shape = row_shape(tokenizer, length)
        self._window_steps = window_steps
        self._task, self._action_size = tokenizer.spec.name, tokenizer.spec.action.size
        self._random = np.random.default_rng(seed)
        self._next_item = first_item
        self._pending: _Pool | None = None

    def add(self, steps: StepTokens, weights_version: int = -1) -> Rows | None:
        """One episode's tokens, actions included; the rows that it completes, if any."""
        pool = self._thin(self._cut(steps, weights_version))
        if self._pending is not None:
            pool = self._pending.join(pool)
        pool = pool.take(self._random.permutation(len(pool.versions)))
        row_of = _fill(pool.lengths(), self._shape.length)
        full = int(np.searchsorted(row_of, row_of[-1])) if len(row_of) else 0
        self._pending = pool.take(np.arange(full, len(row_of)))
        return self._pack(pool.take(np.arange(full)), row_of[:full]) if full else None

    def flush(self) -> Rows | None:
        """What is left, as rows of which the last is padded."""
        pool, self._pending = self._pending, None
        if pool is None or not len(pool.versions):
            return None
        return self._pack(pool, _fill(pool.lengths(), self._shape.length))

    def _cut(self, steps: StepTokens, version: int) -> _Pool:
        step_lengths = steps.valid.sum(axis=1)
        window = self._window_steps or max(1, self._shape.length // int(step_lengths.max()))
        if window * int(step_lengths.max()) > self._shape.length:
            raise ValueError(
                f"{self._task}: a window of {window} steps holds {window * int(step_lengths.max())} tokens, "
                f"more than tokens.length {self._shape.length}"
            )
        first = int(self._random.integers(window))
        shifted = np.arange(len(step_lengths)) + (window - first) % window
        segment, step = shifted // window, shifted % window
        # The first window may begin in mid-grid: steps count from its own start.
        step = np.where(segment == 0, step - step[0], step)
        valid, width = steps.valid, steps.valid.shape[1]
        return _Pool(
            steps.token[valid], steps.kind[valid], steps.local_position[valid],
            np.repeat(step, width).reshape(valid.shape)[valid].astype(np.int16),
            np.repeat(segment, width).reshape(valid.shape)[valid],
            steps.patches.reshape(-1, *steps.patches.shape[2:]), np.tile(steps.places, (len(step), 1, 1)),
            steps.tensors.reshape(len(step) * steps.tensors.shape[1], steps.tensors.shape[2]),
            np.full(int(segment[-1]) + 1, version, np.int32),
        )  # fmt: skip

    def _thin(self, pool: _Pool) -> _Pool:
        """Drops windows without a change of action, all but the share that is kept."""
        if self._keep_repeats >= 1.0:
            return pool
        acts = pool.kind >= Kind.ACTION
        actions = pool.token[acts].reshape(-1, self._action_size)
        changed = np.ones(len(actions), bool)
        changed[1:] = (actions[1:] != actions[:-1]).any(axis=1)
        window_of_action = pool.segment[acts].reshape(-1, self._action_size)[:, 0]
        keep = np.bincount(window_of_action, weights=changed, minlength=len(pool.versions)) > 0
        keep |= self._random.random(len(keep)) < self._keep_repeats
        return pool.take(np.flatnonzero(keep))

    def _pack(self, pool: _Pool, row_of: np.ndarray) -> Rows:
        rows, length = int(row_of[-1]) + 1, self._shape.length
        row = row_of[pool.segment]
        column = _rank_within(row)
        token = np.zeros((rows, length), np.int32)
        kind = np.zeros((rows, length), np.uint8)
        local = np.zeros((rows, length), np.int16)
        step = np.zeros((rows, length), np.int16)
        segment = np.full((rows, length), -1, np.int16)
        first_segment = np.searchsorted(row_of, np.arange(rows))
        for target, source in ((token, pool.token), (kind, pool.kind), (local, pool.local_position), (step, pool.step)):
            target[row, column] = source
        segment[row, column] = pool.segment - first_segment[row]
        patches, places = self._ride(row[pool.kind == Kind.PATCH], rows, pool.patches, pool.places)
        tensors = self._ride_tensors(row[_is_tensor(pool.kind)], rows, pool.tensors)
        versions = np.stack(
            [np.minimum.reduceat(pool.versions, first_segment), np.maximum.reduceat(pool.versions, first_segment)],
            axis=1,
        )
        item_id = np.arange(self._next_item, self._next_item + rows, dtype=np.int64)
        self._next_item += rows
        loss_mask = kind >= Kind.ACTION
        return Rows(token, kind, local, segment, step, loss_mask, patches, places, tensors, item_id, versions)

    def _ride(
        self, row: np.ndarray, rows: int, patches: np.ndarray, places: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        out = np.zeros((rows, self._shape.patches, *patches.shape[1:]), np.uint8)
        out_places = np.zeros((rows, self._shape.patches, 2, 2), np.uint8)
        slot = _rank_within(row)
        out[row, slot], out_places[row, slot] = patches, places
        return out, out_places

    def _ride_tensors(self, row: np.ndarray, rows: int, tensors: np.ndarray) -> np.ndarray:
        out = np.zeros((rows, self._shape.tensors, self._shape.tensor_size), np.float32)
        out[row, _rank_within(row)] = tensors[:, : self._shape.tensor_size]
        return out


def _fill(lengths: np.ndarray, room: int) -> np.ndarray:
    """Row of each segment when rows of `room` tokens are filled in order."""
    ends = np.cumsum(lengths)
    row_of = np.empty(len(lengths), np.int64)
    start = row = 0
    while start < len(lengths):
        used = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, used + room, side="right"))
        row_of[start:stop] = row
        start, row = stop, row + 1
    return row_of


def _rank_within(row: np.ndarray) -> np.ndarray:
    """Index of each element among those of its row; `row` is non-decreasing."""
    return np.arange(len(row)) - np.searchsorted(row, row)


def _is_tensor(kind: np.ndarray) -> np.ndarray:
    return (kind == Kind.TENSOR) | (kind == Kind.GRID)
