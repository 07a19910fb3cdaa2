"""Cuts episodes into windows and packs the windows of a task into rows of equal length."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gato_dist.sequence import Kind, Sequences, SequenceShape
from gato_dist.specs import TaskSpec
from gato_dist.tokens.layout import Encoding, TaskTokenizer, observation_tokens
from gato_dist.tokens.rows import Row, Stream, fill_sequences
from gato_dist.tokens.steps import StepTokens

REMEMBERED = 8  # episodes that prompts are cut from


def sequence_shape(tokenizer: TaskTokenizer, length: int) -> SequenceShape:
    """Room that any row of `length` tokens of this task needs."""
    steps = length // min_step_tokens(tokenizer.spec, tokenizer.encoding)
    return SequenceShape(
        length, steps * len(tokenizer.places), steps * tokenizer.tensors_per_step,
        tokenizer.tensor_size if tokenizer.tensors_per_step else 0, tokenizer.tensor_type.name,
    )  # fmt: skip


def min_step_tokens(spec: TaskSpec, encoding: Encoding) -> int:
    """Tokens of a step without its text: observations, separator, actions."""
    return observation_tokens(spec, encoding) + 1 + spec.action.size


@dataclass(frozen=True)
class Prompting:
    """How rows are led by prompts (paper, section 2.3): the `share` of rows, and at most `tokens` of each."""

    share: float = 0.0
    tokens: int = 0


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
        self._shape = sequence_shape(tokenizer, length)
        self._window_steps = window_steps
        self._task = tokenizer.spec.name
        self._random = np.random.default_rng(seed)
        self._next_item, self._next_window, self._next_episode = first_item, 0, 0
        self._pending: Stream | None = None
        self._open_prompt: StepTokens | None = None
        self._drawn = False
        self._remembered: deque[tuple[int, StepTokens, bool]] = deque(maxlen=REMEMBERED)

    def add(self, steps: StepTokens, weights_version: int = -1, ends: bool = True) -> Sequences | None:
        """One episode's tokens, actions included; the rows that it completes, if any. Raises as `add_episodes`.

        ends: false where it is a cut that stops before its episode does.
        """
        return self.add_episodes(steps, [len(steps)], weights_version, ends)

    def add_episodes(
        self, steps: StepTokens, counts: Sequence[int], weights_version: int = -1, ends: bool = True
    ) -> Sequences | None:
        """As `add` for one episode after the other, which hold `counts` of the steps: the same rows in less time.

        Raises ValueError where a step is longer than a row.
        """
        lengths = steps.lengths
        if int(lengths.max()) > self._shape.length:
            raise ValueError(
                f"{self._task}: a step holds {int(lengths.max())} tokens, more than tokens.length {self._shape.length}"
            )
        plan = _Plan(self._pending)
        cuts, rows, start = [], [], 0
        # A row's prompt is drawn before the episodes behind it are there; without prompts all are planned at once.
        for together in [[count] for count in counts] if self._prompting.share else [list(counts)]:
            stop = start + sum(together)
            order, window, episode = self._cut_all(steps, start, together)
            cuts.append((order, window, episode))
            plan.add(lengths[order], episode)
            rows += self._complete(plan)
            # Only afterwards: the episode must not prompt itself.
            self.remember(self._next_episode - 1, steps.take(slice(start, stop)), ends)
            start = stop
        order, window, episode = (np.concatenate(parts) for parts in zip(*cuts, strict=True))
        version = np.full(len(order), weights_version, np.int32)
        stream = Stream(steps, order, lengths[order], window, episode, version)
        streams = [stream] if self._pending is None else [self._pending, stream]
        packed = self._pack(streams, rows)
        self._pending = Stream.rest(streams, rows[-1].stop if rows else 0)
        return packed

    def remember(self, episode: int, steps: StepTokens, ends: bool) -> None:
        """May lead rows from now on, but not those that begin with episode `episode`, counted as they are added."""
        if self._prompting.share:
            self._remembered.append((episode, steps, ends))

    def flush(self) -> Sequences | None:
        """What is left, as one padded row."""
        stream, self._pending = self._pending, None
        if stream is None or not len(stream.order):
            return None
        row = Row(0, len(stream.order), self._prompt_of(int(stream.episode[0]), int(stream.lengths[0])))
        self._open_prompt, self._drawn = None, False
        return self._pack([stream], [row])

    def _cut_all(self, steps: StepTokens, start: int, counts: Sequence[int]) -> tuple[np.ndarray, ...]:
        """`_cut` for episodes that follow one another from `start`, and the number of each step's episode."""
        stops = start + np.cumsum(counts)
        cuts = [self._cut(steps, stop - count, stop) for stop, count in zip(stops.tolist(), counts, strict=True)]
        order, window = (np.concatenate(parts) for parts in zip(*cuts, strict=True))
        first, self._next_episode = self._next_episode, self._next_episode + len(counts)
        return order, window, np.repeat(np.arange(first, self._next_episode), [len(kept) for kept, _ in cuts])

    def _cut(self, steps: StepTokens, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        """The episode's steps in the order in which they fill rows, int64 [S], and the window of each, int64 [S]."""
        count = stop - start
        size = self._window_steps or count
        window = (np.arange(count) + int(self._random.integers(size)) * bool(self._window_steps)) // size
        windows, order = int(window[-1]) + 1, np.arange(count)
        keep = self._changing(steps.take(slice(start, stop)), window) if self._keep_repeats < 1.0 else None
        if windows > 1:
            order = np.argsort(self._random.permutation(windows)[window], kind="stable")
        if keep is not None:
            order = order[keep[order]]
        first, self._next_window = self._next_window, self._next_window + windows
        return order + start, window[order] + first

    def _changing(self, steps: StepTokens, window: np.ndarray) -> np.ndarray:
        """Steps of windows with a change of action, and of the share of others that is kept: bool [T]."""
        actions = np.where(steps.kind >= Kind.ACTION, steps.token + steps.correction, -1)
        changed = np.ones(len(steps), bool)
        changed[1:] = (actions[1:] != actions[:-1]).any(axis=1)
        keep = np.bincount(window, weights=changed) > 0
        keep |= self._random.random(len(keep)) < self._keep_repeats
        return keep[window]

    def _complete(self, plan: "_Plan") -> list[Row]:
        """The rows that the plan's steps fill."""
        rows = []
        while len(plan.ends):
            prompt = self._prompt_of(int(plan.episode[0]), int(plan.ends[0]) - plan.before)
            room = self._shape.length - (int(prompt.lengths.sum()) if prompt else 0)
            count = int(np.searchsorted(plan.ends, plan.before + room, side="right"))
            if count == len(plan.ends):
                break
            rows.append(Row(plan.first, plan.first + count, prompt))
            plan.drop(count)
            self._open_prompt, self._drawn = None, False
        return rows

    def _prompt_of(self, episode: int, length: int) -> StepTokens | None:
        """The prompt of the row that begins with a step of `episode`; drawn once, however long the row takes to fill.

        length: tokens of that step.
        """
        if not self._drawn:
            self._drawn = True
            others = [(steps, ends) for other, steps, ends in self._remembered if other != episode]
            if others and self._random.random() < self._prompting.share:
                room = min(self._shape.length // 2, self._shape.length - length)
                source, ends = others[self._random.integers(len(others))]
                at_end = ends and bool(self._random.integers(2))
                self._open_prompt = cut_prompt(
                    source, min(self._prompting.tokens, room), None if at_end else self._random
                )
        return self._open_prompt

    def _pack(self, streams: list[Stream], rows: list[Row]) -> Sequences | None:
        if not rows:
            return None
        first, self._next_item = self._next_item, self._next_item + len(rows)
        return fill_sequences(streams, rows, self._shape, first)


class _Plan:
    """The steps that no row has yet. ends int64 [S]: tokens up to each step's end; episode int64 [S].

    first, before: how many steps stood before them, and their tokens, which `ends` counts as well.
    """

    def __init__(self, pending: Stream | None) -> None:
        self.first = self.before = 0
        self.ends = np.zeros(0, np.int64) if pending is None else np.cumsum(pending.lengths)
        self.episode = np.zeros(0, np.int64) if pending is None else pending.episode

    def add(self, lengths: np.ndarray, episode: np.ndarray) -> None:
        before = self.ends[-1] if len(self.ends) else self.before
        self.ends = np.concatenate([self.ends, before + np.cumsum(lengths)])
        self.episode = np.concatenate([self.episode, episode])

    def drop(self, count: int) -> None:
        """The first `count` steps have their row."""
        self.first += count
        self.before = int(self.ends[count - 1])
        self.ends, self.episode = self.ends[count:], self.episode[count:]


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
