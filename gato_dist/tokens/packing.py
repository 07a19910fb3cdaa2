"""Cuts episodes into windows and packs the windows of a task into sequences of equal length."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.sequence import Kind, Sequences, SequenceShape
from gato_dist.tokens.assembly import OrderedSteps, SequencePlan, assemble_sequences
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.step_size import min_step_tokens
from gato_dist.tokens.steps import StepTokens

PROMPT_EPISODES = 8  # Prompts are cut from the last episodes.


def sequence_shape(tokenizer: TaskTokenizer, length: int) -> SequenceShape:
    """Returns array sizes that are large enough for every sequence of `length` tokens of this task."""
    steps = length // min_step_tokens(tokenizer.spec, tokenizer.encoding)
    return SequenceShape(
        length=length,
        patches=steps * len(tokenizer.patch_positions),
        tensors=steps * tokenizer.tensors_per_step,
        tensor_size=tokenizer.tensor_size if tokenizer.tensors_per_step else 0,
        tensor_type=tokenizer.tensor_type.name,
    )


@dataclass(frozen=True)
class Prompting:
    """How often sequences begin with a prompt: steps of another episode of the task (paper, section 2.3).

    Attributes:
        share: share of sequences that get a prompt.
        tokens: maximal length of a prompt.
    """

    share: float = 0.0
    tokens: int = 0


class Packer:
    """Packs the episodes of one task into sequences of L tokens.

    An episode is cut into windows, beginning at a random step, and the windows are shuffled. Their steps then fill
    sequences: a sequence takes steps until the next one does not fit. So every action carries loss exactly once, and
    a sequence wastes less than one step. A window that meets the end of a sequence continues in the next sequence as
    a separate segment. Steps that do not fill a sequence wait for the next episode.

    A prompt, if drawn, is cut from one of the last episodes: its end in half of the cases, otherwise a uniform cut, and
    all of an episode that is shorter. It takes at most half of the sequence. Only the sequence's first window sees the
    prompt, and the prompt carries no loss.
    """

    def __init__(
        self,
        tokenizer: TaskTokenizer,
        *,
        length: int,
        window_steps: int,
        seed: int,
        first_item: int = 0,
        keep_repeats: float = 1.0,
        prompting: Prompting = Prompting(),  # noqa: B008  (frozen)
    ) -> None:
        """Makes a packer without any waiting steps.

        Args:
            tokenizer: of the task.
            length: tokens of a sequence, L.
            window_steps: maximal steps of a window; 0: as many as fit into a sequence.
            seed: decides cuts, shuffling and prompts.
            first_item: `item_id` of the first sequence.
            keep_repeats: share that is kept of windows in which every action repeats the one before. Experts hold an
                action for many steps, and imitation mostly fails where the action changes (Wen et al., 2021,
                arXiv 2106.06452).
            prompting: how often sequences begin with a prompt.
        """
        self._keep_repeats, self._prompting = keep_repeats, prompting
        self._shape = sequence_shape(tokenizer, length)
        self._window_steps = window_steps
        self._task = tokenizer.spec.name
        self._random = np.random.default_rng(seed)
        self._next_item, self._next_window, self._next_episode = first_item, 0, 0
        self._pending: OrderedSteps | None = None
        # The prompt of the sequence that is being filled, and whether it was drawn already.
        self._prompt: StepTokens | None = None
        self._prompt_drawn = False
        self._prompt_episodes: deque[tuple[int, StepTokens, bool]] = deque(maxlen=PROMPT_EPISODES)

    def add(self, steps: StepTokens, weights_version: int = -1, ends: bool = True) -> Sequences | None:
        """Adds one episode.

        Args:
            steps: tokens of the episode, with actions.
            weights_version: version that acted; −1 for an expert.
            ends: whether the steps reach the end of the episode.

        Returns:
            The sequences that this episode completes; None if there is none.

        Raises:
            ValueError: if a step is longer than a sequence.
        """
        return self.add_episodes(steps, [len(steps)], weights_version, ends)

    def add_episodes(
        self, steps: StepTokens, counts: Sequence[int], weights_version: int = -1, ends: bool = True
    ) -> Sequences | None:
        """Adds several episodes. The result is that of `add` for one after another, but takes less time.

        Args:
            steps: tokens of all episodes, one after another.
            counts: number of steps of each episode.
            weights_version, ends: as in `add`.

        Returns:
            The sequences that these episodes complete; None if there is none.

        Raises:
            ValueError: if a step is longer than a sequence.
        """
        lengths = steps.lengths
        if int(lengths.max()) > self._shape.length:
            raise ValueError(
                f"{self._task}: a step holds {int(lengths.max())} tokens, more than tokens.length {self._shape.length}"
            )
        queue = _StepQueue(self._pending)
        cuts, plans, start = [], [], 0
        # A sequence's prompt is drawn before later episodes are known. Without prompts, all are planned at once.
        for group in [[count] for count in counts] if self._prompting.share else [list(counts)]:
            stop = start + sum(group)
            order, window, episode = self._cut_all(steps, start, group)
            cuts.append((order, window, episode))
            queue.add(lengths[order], episode)
            plans += self._plan_sequences(queue)
            # Only now, so that the episode is not used as a prompt for itself.
            self.add_prompt_episode(self._next_episode - 1, steps.take(slice(start, stop)), ends)
            start = stop
        order, window, episode = (np.concatenate(parts) for parts in zip(*cuts, strict=True))
        stream = OrderedSteps(
            steps=steps,
            order=order,
            lengths=lengths[order],
            window=window,
            episode=episode,
            version=np.full(len(order), weights_version, np.int32),
        )
        streams = [stream] if self._pending is None else [self._pending, stream]
        packed = self._assemble(streams, plans)
        self._pending = OrderedSteps.rest(streams, plans[-1].stop if plans else 0)
        return packed

    def add_prompt_episode(self, episode: int, steps: StepTokens, ends: bool) -> None:
        """Makes an episode available for prompts.

        Args:
            episode: number of the episode, in the order of `add`. It is no prompt for sequences that begin with it.
            steps: tokens of the episode.
            ends: whether the steps reach the end of the episode.
        """
        if self._prompting.share:
            self._prompt_episodes.append((episode, steps, ends))

    def flush(self) -> Sequences | None:
        """Returns the waiting steps as one padded sequence; None if no step is waiting."""
        stream, self._pending = self._pending, None
        if stream is None or not len(stream.order):
            return None
        plan = SequencePlan(0, len(stream.order), self._draw_prompt(int(stream.episode[0]), int(stream.lengths[0])))
        self._prompt, self._prompt_drawn = None, False
        return self._assemble([stream], [plan])

    def _cut_all(self, steps: StepTokens, start: int, counts: Sequence[int]) -> tuple[NDArray[np.int64], ...]:
        """Applies `_cut` to successive episodes from `start` on; also returns the episode number of each step."""
        stops = start + np.cumsum(counts)
        cuts = [self._cut(steps, stop - count, stop) for stop, count in zip(stops.tolist(), counts, strict=True)]
        order, window = (np.concatenate(parts) for parts in zip(*cuts, strict=True))
        first, self._next_episode = self._next_episode, self._next_episode + len(counts)
        return order, window, np.repeat(np.arange(first, self._next_episode), [len(kept) for kept, _ in cuts])

    def _cut(self, steps: StepTokens, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the steps of one episode in the order in which they fill sequences, and the window of each."""
        count = stop - start
        size = self._window_steps or count
        window = (np.arange(count) + int(self._random.integers(size)) * bool(self._window_steps)) // size
        windows, order = int(window[-1]) + 1, np.arange(count)
        keep = self._kept_steps(steps.take(slice(start, stop)), window) if self._keep_repeats < 1.0 else None
        if windows > 1:
            order = np.argsort(self._random.permutation(windows)[window], kind="stable")
        if keep is not None:
            order = order[keep[order]]
        first, self._next_window = self._next_window, self._next_window + windows
        return order + start, window[order] + first

    def _kept_steps(self, steps: StepTokens, window: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns a mask [T]: true in windows whose action changes, and in a random share of the other windows."""
        actions = np.where(steps.kind >= Kind.ACTION, steps.token + steps.correction, -1)
        changed = np.ones(len(steps), bool)
        changed[1:] = (actions[1:] != actions[:-1]).any(axis=1)
        keep: NDArray[np.bool_] = np.bincount(window, weights=changed) > 0
        keep |= self._random.random(len(keep)) < self._keep_repeats
        return keep[window]

    def _plan_sequences(self, queue: "_StepQueue") -> list[SequencePlan]:
        """Takes full sequences of steps from the queue."""
        plans = []
        while len(queue.ends):
            prompt = self._draw_prompt(int(queue.episode[0]), int(queue.ends[0]) - queue.tokens_before)
            room = self._shape.length - (int(prompt.lengths.sum()) if prompt else 0)
            count = int(np.searchsorted(queue.ends, queue.tokens_before + room, side="right"))
            if count == len(queue.ends):
                break
            plans.append(SequencePlan(queue.steps_before, queue.steps_before + count, prompt))
            queue.drop(count)
            self._prompt, self._prompt_drawn = None, False
        return plans

    def _draw_prompt(self, episode: int, length: int) -> StepTokens | None:
        """Returns the prompt of the sequence that is being filled; draws it at the first call.

        Args:
            episode: number of the sequence's first episode.
            length: tokens of the sequence's first step.
        """
        if not self._prompt_drawn:
            self._prompt_drawn = True
            others = [(steps, ends) for other, steps, ends in self._prompt_episodes if other != episode]
            if others and self._random.random() < self._prompting.share:
                room = min(self._shape.length // 2, self._shape.length - length)
                source, ends = others[self._random.integers(len(others))]
                at_end = ends and bool(self._random.integers(2))
                self._prompt = cut_prompt(source, min(self._prompting.tokens, room), None if at_end else self._random)
        return self._prompt

    def _assemble(self, streams: list[OrderedSteps], plans: list[SequencePlan]) -> Sequences | None:
        if not plans:
            return None
        first, self._next_item = self._next_item, self._next_item + len(plans)
        return assemble_sequences(streams, plans, self._shape, first)


class _StepQueue:
    """The steps that are not yet in a sequence.

    Attributes:
        ends: int64 [S], tokens up to the end of each step, including `tokens_before`.
        episode: int64 [S], episode number of each step.
        steps_before, tokens_before: steps that left the queue, and their tokens.
    """

    def __init__(self, pending: OrderedSteps | None) -> None:
        self.steps_before = self.tokens_before = 0
        self.ends: NDArray[Any] = np.zeros(0, np.int64) if pending is None else np.cumsum(pending.lengths)
        self.episode: NDArray[np.int64] = np.zeros(0, np.int64) if pending is None else pending.episode

    def add(self, lengths: NDArray[np.int64], episode: NDArray[np.int64]) -> None:
        """Appends steps."""
        before = self.ends[-1] if len(self.ends) else self.tokens_before
        self.ends = np.concatenate([self.ends, before + np.cumsum(lengths)])
        self.episode = np.concatenate([self.episode, episode])

    def drop(self, count: int) -> None:
        """Removes the first `count` steps."""
        self.steps_before += count
        self.tokens_before = int(self.ends[count - 1])
        self.ends, self.episode = self.ends[count:], self.episode[count:]


def cut_prompt(episode: StepTokens, tokens: int, random: np.random.Generator | None) -> StepTokens | None:
    """Cuts a prompt of whole steps from an episode.

    Args:
        episode: tokens of the episode.
        tokens: maximal length of the prompt.
        random: draws a uniform cut; None: the end of the episode.

    Returns:
        As many whole steps as fit; None if not even one fits.
    """
    ends = np.concatenate([[0], np.cumsum(episode.lengths)])
    if random is None:
        stop = len(episode)
        start = int(np.searchsorted(ends, ends[-1] - tokens))
    else:
        # Possible starts: steps with at least `tokens` tokens to come, or only the first step of a short episode.
        starts = max(1, int(np.searchsorted(ends, ends[-1] - tokens, side="right")))
        start = int(random.integers(starts))
        stop = int(np.searchsorted(ends, ends[start] + tokens, side="right")) - 1
    return episode.take(slice(start, stop)) if stop > start else None
