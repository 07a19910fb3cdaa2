"""Cuts episodes into windows and packs the windows of a task into rows of equal length."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from gato_dist.kinds import Kind
from gato_dist.sequence import Rows, RowShape
from gato_dist.specs import TaskSpec
from gato_dist.tokens.layout import Encoding, TaskTokenizer, observation_tokens
from gato_dist.tokens.steps import StepTokens

REMEMBERED = 8  # episodes that prompts are cut from


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


@dataclass(frozen=True)
class Prompting:
    """How rows are led by prompts (paper, section 2.3): the `share` of rows, and at most `tokens` of each."""

    share: float = 0.0
    tokens: int = 0


@dataclass
class _Stream:
    """Steps in the order in which they fill rows. window, episode int64 [S]; version int32 [S]."""

    steps: StepTokens
    window: np.ndarray
    episode: np.ndarray
    version: np.ndarray

    def take(self, index: np.ndarray | slice) -> "_Stream":
        return _Stream(self.steps.take(index), self.window[index], self.episode[index], self.version[index])

    def then(self, other: "_Stream") -> "_Stream":
        both = [np.concatenate([getattr(self, n), getattr(other, n)]) for n in ("window", "episode", "version")]
        return _Stream(StepTokens.join([self.steps, other.steps]), *both)


@dataclass
class _Row:
    """Steps start … stop of a stream, led by the steps of a prompt, if there is one."""

    start: int
    stop: int
    prompt: StepTokens | None


class Packer:
    """Packs windows of at most `window_steps` steps (0: as many as fit) of one task's episodes into rows of L tokens.

    Windows tile an episode from a random first cut and are shuffled; then rows are filled with steps to the last one
    that fits, so that every action carries loss exactly once and padding is less than a step a row. A window that
    meets the end of a row goes on in the next as one of its own. What does not fill a row waits for the next episode.

    prompting: a row may begin with a cut of another episode, half of the time its end, else a uniform one, and half of
    the row at the most. The row's first window sees it; it carries no loss. A shorter episode is taken whole.
    keep_repeats: the share that is kept of windows whose actions only repeat the step before them. Experts hold
    actions for long, and what matters is when they change (Wen et al., 2021, arXiv 2106.06452).
    """

    def __init__(
        self,
        tokenizer: TaskTokenizer,
        length: int,
        window_steps: int,
        seed: int,
        first_item: int = 0,
        keep_repeats: float = 1.0,
        prompting: Prompting = Prompting(),  # noqa: B008  (frozen)
    ) -> None:
        self._keep_repeats, self._prompting = keep_repeats, prompting
        self._shape = row_shape(tokenizer, length)
        self._window_steps = window_steps
        self._task = tokenizer.spec.name
        self._random = np.random.default_rng(seed)
        self._next_item, self._next_window, self._next_episode = first_item, 0, 0
        self._pending: _Stream | None = None
        self._open_prompt: StepTokens | None = None
        self._drawn = False
        self._remembered: deque[tuple[int, StepTokens, bool]] = deque(maxlen=REMEMBERED)

    def add(self, steps: StepTokens, weights_version: int = -1, ends: bool = True) -> Rows | None:
        """One episode's tokens, actions included; the rows that it completes, if any.

        ends: false where it is a cut that stops before its episode does. Raises ValueError where a step is longer than
        a row.
        """
        if int(steps.lengths.max()) > self._shape.length:
            raise ValueError(
                f"{self._task}: a step holds {int(steps.lengths.max())} tokens, more than tokens.length "
                f"{self._shape.length}"
            )
        stream = self._cut(steps, weights_version)
        if self._pending is not None:
            stream = self._pending.then(stream)
        rows = self._fill(stream)
        # Only afterwards: the episode must not prompt itself.
        self.remember(self._next_episode - 1, steps, ends)
        return rows

    def remember(self, episode: int, steps: StepTokens, ends: bool) -> None:
        """May lead rows from now on, but not those that begin with episode `episode`, counted as they are added."""
        if self._prompting.share:
            self._remembered.append((episode, steps, ends))

    def flush(self) -> Rows | None:
        """What is left, as one padded row."""
        stream, self._pending = self._pending, None
        if stream is None or not len(stream.window):
            return None
        row = _Row(0, len(stream.window), self._prompt_of(stream, 0))
        self._open_prompt, self._drawn = None, False
        return self._pack(stream, [row])

    def _cut(self, steps: StepTokens, version: int) -> _Stream:
        count = len(steps)
        size = self._window_steps or count
        window = (np.arange(count) + int(self._random.integers(size)) * bool(self._window_steps)) // size
        keep = self._changing(steps, window)
        rank = self._random.permutation(int(window[-1]) + 1)[window]
        order = np.argsort(rank, kind="stable")
        order = order[keep[order]]
        in_order = len(order) == count and bool((order[1:] > order[:-1]).all())
        version_of, episode = np.full(len(order), version, np.int32), np.full(len(order), self._next_episode)
        chosen = steps if in_order else steps.take(order)
        stream = _Stream(chosen, window[order] + self._next_window, episode, version_of)
        self._next_window += int(window[-1]) + 1
        self._next_episode += 1
        return stream

    def _changing(self, steps: StepTokens, window: np.ndarray) -> np.ndarray:
        """Steps of windows with a change of action, and of the share of others that is kept: bool [T]."""
        if self._keep_repeats >= 1.0:
            return np.ones(len(steps), bool)
        actions = np.where(steps.kind >= Kind.ACTION, steps.token, -1)
        changed = np.ones(len(steps), bool)
        changed[1:] = (actions[1:] != actions[:-1]).any(axis=1)
        keep = np.bincount(window, weights=changed) > 0
        keep |= self._random.random(len(keep)) < self._keep_repeats
        return keep[window]

    def _fill(self, stream: _Stream) -> Rows | None:
        """The full rows of `stream`; what follows them is kept pending."""
        ends = np.cumsum(stream.steps.lengths)
        rows, start = [], 0
        while start < len(ends):
            prompt = self._prompt_of(stream, start)
            room = self._shape.length - (int(prompt.lengths.sum()) if prompt else 0)
            used = ends[start - 1] if start else 0
            stop = int(np.searchsorted(ends, used + room, side="right"))
            if stop == len(ends):
                break
            rows.append(_Row(start, stop, prompt))
            start, self._open_prompt, self._drawn = stop, None, False
        self._pending = stream.take(slice(start, None))
        return self._pack(stream, rows) if rows else None

    def _prompt_of(self, stream: _Stream, start: int) -> StepTokens | None:
        """The prompt of the row that begins with step `start`; drawn once, however long the row takes to fill."""
        if not self._drawn:
            self._drawn = True
            others = [(steps, ends) for episode, steps, ends in self._remembered if episode != stream.episode[start]]
            if others and self._random.random() < self._prompting.share:
                room = min(self._shape.length // 2, self._shape.length - int(stream.steps.lengths[start]))
                source, ends = others[self._random.integers(len(others))]
                at_end = ends and bool(self._random.integers(2))
                self._open_prompt = cut_prompt(
                    source, min(self._prompting.tokens, room), None if at_end else self._random
                )
        return self._open_prompt

    def _pack(self, stream: _Stream, rows: list[_Row]) -> Rows:
        """Rows as arrays. `index` lists their steps among those of the stream and, behind them, of the prompts."""
        prompts = [row.prompt for row in rows if row.prompt is not None]
        steps = StepTokens.join([part.without_rides() for part in (stream.steps, *prompts)])
        window = np.concatenate([stream.window, np.zeros(len(steps) - len(stream.window), np.int64)])
        index, row_of, after = [], [], len(stream.window)
        for number, row in enumerate(rows):
            if row.prompt is not None:
                index.append(np.arange(after, after + len(row.prompt)))
                window[index[-1]] = stream.window[row.start]
                after += len(row.prompt)
            index.append(np.arange(row.start, row.stop))
            row_of.append(np.full(row.stop - row.start + (len(row.prompt) if row.prompt else 0), number))
        out = self._arrays(stream, steps, np.concatenate(index), np.concatenate(row_of), window)
        self._ride(out, stream.steps, rows)
        return Rows(**out)

    def _arrays(
        self, stream: _Stream, steps: StepTokens, index: np.ndarray, row_of: np.ndarray, window: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Everything but the rides. steps: without them; window int64: of each."""
        chosen, window, count = steps.take(index), window[index], int(row_of[-1]) + 1
        begins = np.ones(len(index), bool)
        begins[1:] = (window[1:] != window[:-1]) | (row_of[1:] != row_of[:-1])
        segment = np.cumsum(begins) - 1
        step = _rank_within(segment)
        segment = segment - segment[np.searchsorted(row_of, np.arange(count))][row_of]
        is_prompt = index >= len(stream.window)

        valid, lengths = chosen.valid, chosen.lengths
        row = np.repeat(row_of, lengths)
        column = _rank_within(row)
        out = {name: np.zeros(shape, dtype) for name, (shape, dtype) in self._layout(count).items()}
        out["segment"][:] = -1
        out["token"][row, column] = chosen.token[valid]
        out["kind"][row, column] = chosen.kind[valid]
        out["local_position"][row, column] = chosen.local_position[valid]
        out["segment"][row, column] = np.repeat(segment, lengths)
        out["step"][row, column] = np.repeat(step, lengths)
        out["loss_mask"][row, column] = (chosen.kind[valid] >= Kind.ACTION) & ~np.repeat(is_prompt, lengths)
        version, own = stream.version[index[~is_prompt]], np.searchsorted(row_of[~is_prompt], np.arange(count))
        out["weights_version"][:, 0] = np.minimum.reduceat(version, own)
        out["weights_version"][:, 1] = np.maximum.reduceat(version, own)
        out["item_id"] = np.arange(self._next_item, self._next_item + count, dtype=np.int64)
        self._next_item += count
        return out

    def _layout(self, rows: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
        signature = Rows.signature(self._shape)
        return {name: ((rows, *shape), dtype) for name, (shape, dtype) in signature.items()}

    def _ride(self, out: dict[str, np.ndarray], steps: StepTokens, rows: list[_Row]) -> None:
        """Copies patches, places and tensors beside their rows: by far the most bytes, so no more than once."""
        for number, row in enumerate(rows):
            filled = 0
            for part in (row.prompt, steps.take(slice(row.start, row.stop))):
                if part is None:
                    continue
                for name, values in (
                    ("patches", part.patches),
                    ("tensors", part.tensors[..., : self._shape.tensor_size]),
                ):
                    each = values.shape[1]
                    if each:
                        flat = values.reshape(len(part) * each, *values.shape[2:])
                        out[name][number, filled * each : (filled + len(part)) * each] = flat
                filled += len(part)
            if len(steps.places):
                out["places"][number, : filled * len(steps.places)] = np.tile(steps.places, (filled, 1, 1))


def cut_prompt(episode: StepTokens, tokens: int, random: np.random.Generator | None) -> StepTokens | None:
    """As many whole steps as `tokens` hold: the episode's end, or a uniform cut where `random` is given.

    All of an episode that is shorter; None where not even one step fits.
    """
    ends = np.concatenate([[0], np.cumsum(episode.lengths)])
    if random is None:
        stop = len(episode)
        start = int(np.searchsorted(ends, ends[-1] - tokens))
    else:
        # Starts behind which the asked length is still to come; a short episode has the first alone.
        starts = max(1, int(np.searchsorted(ends, ends[-1] - tokens, side="right")))
        start = int(random.integers(starts))
        stop = int(np.searchsorted(ends, ends[start] + tokens, side="right")) - 1
    return episode.take(slice(start, stop)) if stop > start else None


def _rank_within(group: np.ndarray) -> np.ndarray:
    """Index of each element among those of its group; `group` is non-decreasing."""
    return np.arange(len(group)) - np.searchsorted(group, group)
