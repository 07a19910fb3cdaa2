"""Fills rows with steps: their tokens, one behind the other, and what rides beside."""

from dataclasses import dataclass

import numpy as np

from gato_dist.sequence import BlankSequences, Kind, Sequences, SequenceShape
from gato_dist.tokens.steps import StepTokens


@dataclass
class Stream:
    """Steps in the order in which they fill rows: `steps` at `order`, int64 [S].

    lengths, window, episode int64 [S]; version int32 [S]: of each, in that order.
    """

    steps: StepTokens
    order: np.ndarray
    lengths: np.ndarray
    window: np.ndarray
    episode: np.ndarray
    version: np.ndarray

    @staticmethod
    def rest(streams: "list[Stream]", start: int) -> "Stream":
        """A copy of the steps behind the first `start`."""
        parts = []
        for stream in streams:
            parts.append((stream, slice(min(start, len(stream.order)), None)))
            start = max(0, start - len(stream.order))
        steps = StepTokens.join([stream.steps.take(stream.order[part]) for stream, part in parts])

        def behind(name: str) -> np.ndarray:
            return np.concatenate([getattr(stream, name)[part] for stream, part in parts])

        names = ("lengths", "window", "episode", "version")
        return Stream(steps, np.arange(len(steps)), *(behind(name) for name in names))


@dataclass
class Row:
    """Steps start … stop of one or more streams, led by the steps of a prompt, if there is one."""

    start: int
    stop: int
    prompt: StepTokens | None


def fill_sequences(streams: list[Stream], rows: list[Row], shape: SequenceShape, first_item: int) -> Sequences:
    """Rows that follow one another in the streams, which follow one another. item_id counts from `first_item`."""
    out = BlankSequences(len(rows), shape)
    out.segment[:] = -1
    out.item_id[:] = np.arange(first_item, first_item + len(rows))
    version, starts = np.concatenate([stream.version for stream in streams]), [row.start for row in rows]
    out.weights_version[:, 0] = np.minimum.reduceat(version[: rows[-1].stop], starts)
    out.weights_version[:, 1] = np.maximum.reduceat(version[: rows[-1].stop], starts)
    _fill_tokens(out, streams, rows)
    _fill_rides(out, streams, rows)
    return out


def _fill_tokens(out: Sequences, streams: list[Stream], rows: list[Row]) -> None:
    """All that stands at positions. What is chosen of the streams and prompts are [S] steps, row by row."""
    prompts = [row.prompt for row in rows if row.prompt is not None]
    sources = [*(stream.steps for stream in streams), *prompts]
    steps = StepTokens.join([source.without_rides() for source in sources])
    first = np.cumsum([0, *map(len, sources)])
    order = np.concatenate([stream.order + base for stream, base in zip(streams, first, strict=False)])
    led = np.array([len(row.prompt) if row.prompt is not None else 0 for row in rows])
    own = np.array([row.stop - row.start for row in rows])
    is_prompt = np.repeat(np.tile([True, False], len(rows)), np.stack([led, own], axis=1).ravel())
    row_of = np.repeat(np.arange(len(rows)), led + own)

    index, place = np.empty(len(row_of), np.int64), np.empty(len(row_of), np.int64)
    index[~is_prompt], place[~is_prompt] = order[: rows[-1].stop], np.arange(rows[-1].stop)
    # A prompt belongs to the window of the row's first own step.
    index[is_prompt], place[is_prompt] = (
        np.arange(first[len(streams)], len(steps)),
        np.repeat(np.cumsum(own) - own, led),
    )
    window = np.concatenate([stream.window for stream in streams])[place]
    lengths = np.concatenate([stream.lengths for stream in streams])[place]
    if prompts:
        lengths[is_prompt] = np.concatenate([prompt.lengths for prompt in prompts])

    begins = np.ones(len(index), bool)
    begins[1:] = (window[1:] != window[:-1]) | (row_of[1:] != row_of[:-1])
    segment, begin = np.cumsum(begins) - 1, np.flatnonzero(begins)
    step = np.arange(len(index)) - begin[segment]
    row_begin = np.cumsum(led + own) - (led + own)
    segment -= segment[row_begin][row_of]

    # Masks of long runs: numpy copies a run at once, an index for each token takes three times as long.
    real = steps.valid.take(index, axis=0)
    filled = np.arange(out.token.shape[1]) < np.add.reduceat(lengths, row_begin)[:, None]
    kind = steps.kind.take(index, axis=0)[real]
    out.token[filled] = steps.token.take(index, axis=0)[real]
    out.kind[filled] = kind
    out.local_position[filled] = steps.local_position.take(index, axis=0)[real]
    out.segment[filled] = np.repeat(segment.astype(np.int16), lengths)
    out.step[filled] = np.repeat(step.astype(np.int16), lengths)
    out.loss_mask[filled] = (kind >= Kind.ACTION) & ~np.repeat(is_prompt, lengths)
    if steps.correction.any():
        # An action is shown as it was done to the steps that follow; where none does, only its own elements see it,
        # and what leads them is what is to be learned.
        correction = steps.correction.take(index, axis=0)[real]
        followed = np.repeat(np.append(~begins[1:], False), lengths)
        out.token[filled] += np.where(followed, 0, correction)
        out.correction[filled] = np.where(followed, correction, 0)


def _fill_rides(out: Sequences, streams: list[Stream], rows: list[Row]) -> None:
    """Patches, places and tensors: by far the most bytes, so they are copied once."""
    places = streams[0].steps.places
    starts = np.cumsum([0, *(len(stream.order) for stream in streams)]).tolist()
    rides = [(name, room) for name in ("patches", "tensors") if (room := getattr(out, name)).shape[1]]
    for number, row in enumerate(rows if rides else []):
        parts = [] if row.prompt is None else [(row.prompt, np.arange(len(row.prompt)))]
        for stream, start in zip(streams, starts, strict=False):
            if row.start < start + len(stream.order) and row.stop > start:
                parts.append((stream.steps, stream.order[max(0, row.start - start) : row.stop - start]))
        filled = 0
        for steps, chosen in parts:
            for name, room in rides:
                values = getattr(steps, name)
                each = values.shape[1]
                slots = room[number, filled * each : (filled + len(chosen)) * each]
                # Clipping spares the copy through which numpy would notice an index that is out of range.
                values.take(chosen, axis=0, out=slots.reshape(len(chosen), *values.shape[1:]), mode="clip")
            filled += len(chosen)
        if len(places):
            out.places[number, : filled * len(places)] = np.tile(places, (filled, 1, 1))
