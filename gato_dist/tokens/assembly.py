"""Assembles sequences: copies the steps that `packing` has chosen into the arrays of `Sequences`.

Shapes: S steps, in the order in which they fill sequences.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.sequence import BlankSequences, Kind, Sequences, SequenceShape
from gato_dist.tokens.steps import StepTokens


@dataclass(kw_only=True)
class OrderedSteps:
    """Steps in the order in which they fill sequences.

    Attributes:
        steps: tokens of the steps, in any order.
        order: int64 [S], indices into `steps`.
        lengths: int64 [S], tokens of each ordered step.
        window: int64 [S], number of each ordered step's window.
        episode: int64 [S], number of each ordered step's episode.
        version: int32 [S], weights version that acted in each ordered step.
    """

    steps: StepTokens
    order: NDArray[np.int64]
    lengths: NDArray[np.int64]
    window: NDArray[np.int64]
    episode: NDArray[np.int64]
    version: NDArray[np.int32]

    @staticmethod
    def rest(streams: "list[OrderedSteps]", start: int) -> "OrderedSteps":
        """Copies all steps of the concatenated `streams` from index `start` on."""
        parts = []
        for stream in streams:
            parts.append((stream, slice(min(start, len(stream.order)), None)))
            start = max(0, start - len(stream.order))
        steps = StepTokens.join([stream.steps.take(stream.order[part]) for stream, part in parts])

        def concatenate(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(stream, name)[part] for stream, part in parts])

        names = ("lengths", "window", "episode", "version")
        return OrderedSteps(steps=steps, order=np.arange(len(steps)), **{name: concatenate(name) for name in names})


@dataclass
class SequencePlan:
    """What one sequence holds.

    Attributes:
        start, stop: range of steps in the concatenated `OrderedSteps`.
        prompt: steps that come before this range, if any.
    """

    start: int
    stop: int
    prompt: StepTokens | None


def assemble_sequences(
    streams: list[OrderedSteps], plans: list[SequencePlan], shape: SequenceShape, first_item: int
) -> Sequences:
    """Builds one sequence for each plan.

    Args:
        streams: the steps, as if concatenated.
        plans: adjacent ranges of these steps; the first begins at 0.
        shape: array sizes of the sequences.
        first_item: `item_id` of the first sequence; the others count up.
    """
    out = BlankSequences(len(plans), shape)
    out.segment[:] = -1
    out.item_id[:] = np.arange(first_item, first_item + len(plans))
    version, starts = np.concatenate([stream.version for stream in streams]), [plan.start for plan in plans]
    out.weights_version[:, 0] = np.minimum.reduceat(version[: plans[-1].stop], starts)
    out.weights_version[:, 1] = np.maximum.reduceat(version[: plans[-1].stop], starts)
    _fill_tokens(out, streams, plans)
    _fill_payload(out, streams, plans)
    return out


def _fill_tokens(out: Sequences, streams: list[OrderedSteps], plans: list[SequencePlan]) -> None:
    """Fills all [sequences, L] arrays. Local arrays [S] list prompts and own steps, sequence by sequence."""
    prompts = [plan.prompt for plan in plans if plan.prompt is not None]
    sources = [*(stream.steps for stream in streams), *prompts]
    steps = StepTokens.join([source.without_payload() for source in sources])
    first = np.cumsum([0, *map(len, sources)])
    order = np.concatenate([stream.order + base for stream, base in zip(streams, first, strict=False)])
    prompt_steps = np.array([len(plan.prompt) if plan.prompt is not None else 0 for plan in plans])
    own_steps = np.array([plan.stop - plan.start for plan in plans])
    counts = prompt_steps + own_steps
    is_prompt = np.repeat(np.tile([True, False], len(plans)), np.stack([prompt_steps, own_steps], axis=1).ravel())
    sequence_of = np.repeat(np.arange(len(plans)), counts)

    # `index` points into `steps`, `rank` into the concatenated streams.
    index, rank = np.empty(len(sequence_of), np.int64), np.empty(len(sequence_of), np.int64)
    index[~is_prompt], rank[~is_prompt] = order[: plans[-1].stop], np.arange(plans[-1].stop)
    index[is_prompt] = np.arange(first[len(streams)], len(steps))
    # A prompt belongs to the window of the sequence's first own step.
    rank[is_prompt] = np.repeat(np.cumsum(own_steps) - own_steps, prompt_steps)
    window = np.concatenate([stream.window for stream in streams])[rank]
    lengths = np.concatenate([stream.lengths for stream in streams])[rank]
    if prompts:
        lengths[is_prompt] = np.concatenate([prompt.lengths for prompt in prompts])

    starts_segment = np.ones(len(index), bool)
    starts_segment[1:] = (window[1:] != window[:-1]) | (sequence_of[1:] != sequence_of[:-1])
    segment, segment_start = np.cumsum(starts_segment) - 1, np.flatnonzero(starts_segment)
    step = np.arange(len(index)) - segment_start[segment]
    sequence_start = np.cumsum(counts) - counts
    segment -= segment[sequence_start][sequence_of]

    # Boolean masks with long runs: numpy copies a run at once. Integer indices would take three times as long.
    valid = steps.valid.take(index, axis=0)
    filled = np.arange(out.token.shape[1]) < np.add.reduceat(lengths, sequence_start)[:, None]
    kind = steps.kind.take(index, axis=0)[valid]
    out.token[filled] = steps.token.take(index, axis=0)[valid]
    out.kind[filled] = kind
    out.local_position[filled] = steps.local_position.take(index, axis=0)[valid]
    out.segment[filled] = np.repeat(segment.astype(np.int16), lengths)
    out.step[filled] = np.repeat(step.astype(np.int16), lengths)
    out.loss_mask[filled] = (kind >= Kind.ACTION) & ~np.repeat(is_prompt, lengths)
    if steps.correction.any():
        # Later steps of a window must see the action that was taken. An action in the last step of its window is seen
        # by no later step; only its own later tokens see it, and they should follow the target action.
        correction = steps.correction.take(index, axis=0)[valid]
        followed = np.repeat(np.append(~starts_segment[1:], False), lengths)
        out.token[filled] += np.where(followed, 0, correction)
        out.correction[filled] = np.where(followed, correction, 0)


def _fill_payload(out: Sequences, streams: list[OrderedSteps], plans: list[SequencePlan]) -> None:
    """Fills patches, their positions, and tensors. They are by far the most bytes, so they are copied only once."""
    positions = streams[0].steps.patch_positions
    starts = np.cumsum([0, *(len(stream.order) for stream in streams)]).tolist()
    payload = [(name, slots) for name in ("patches", "tensors") if (slots := getattr(out, name)).shape[1]]
    for number, plan in enumerate(plans if payload else []):
        parts = [] if plan.prompt is None else [(plan.prompt, np.arange(len(plan.prompt)))]
        for stream, start in zip(streams, starts, strict=False):
            if plan.start < start + len(stream.order) and plan.stop > start:
                parts.append((stream.steps, stream.order[max(0, plan.start - start) : plan.stop - start]))
        filled = 0
        for steps, chosen in parts:
            for name, slots in payload:
                values = getattr(steps, name)
                per_step = values.shape[1]
                target = slots[number, filled * per_step : (filled + len(chosen)) * per_step]
                # mode="clip" avoids the extra copy that numpy makes to detect indices out of range.
                values.take(chosen, axis=0, out=target.reshape(len(chosen), *values.shape[1:]), mode="clip")
            filled += len(chosen)
        if len(positions):
            out.patch_positions[number, : filled * len(positions)] = np.tile(positions, (filled, 1, 1))
