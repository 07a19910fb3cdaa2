"""Training sequences from the episodes of a dataset: the same tokens and windows as through replay."""

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.sequence import Sequences
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer
from gato_dist.tokens.step_size import min_step_tokens
from gato_dist.tokens.steps import StepTokens
from replay.dataset.parquet_steps import GROUP_STEPS, decode_steps, read_groups
from replay.dataset.shards import Shard
from replay.sequence_blocks import join_sequences

SEGMENT_GROUPS = 4  # row groups that are read together: more shuffle worse, fewer cut more windows short
CHUNK_SEQUENCES = 32  # about so many sequences are packed and shuffled together

_SEGMENT = np.dtype(
    [
        ("shard", np.int32),  # index of the shard
        ("group", np.int32),  # row groups [group, end) of its Parquet file
        ("end", np.int32),
        ("steps", np.int32),
        ("last", np.bool_),  # whether it is the last segment of its episode
        ("version", np.int32),  # weights version that acted
    ]
)


class EpisodeChunks:
    """The sequences of one task's episodes, in chunks, for one lane (`replay.loader.Chunks`).

    Episodes are cut into segments of some hundred steps. An epoch reads every segment once, in an order of its own;
    lane i of n reads every n-th. If there are fewer segments than lanes, every lane reads all segments and keeps every
    n-th sequence. The segments of a chunk are packed together, and the resulting sequences are shuffled. A chunk
    depends only on its number, the seed and the lane.

    Args:
        shards: the task's shards.
        tokenizer: the task's tokenizer.
        length: tokens in a sequence.
        make_packer: makes a packer from a seed. Must be picklable for loader processes.
        seed: of the order.
        lane: this lane, 0 … lanes − 1.
        lanes: number of all lanes.

    Raises:
        InputError: there is no episode.
    """

    damaged = 0  # episodes are never skipped

    def __init__(
        self,
        shards: list[Shard],
        tokenizer: TaskTokenizer,
        *,
        length: int,
        make_packer: Callable[[int], Packer],
        seed: int,
        lane: int = 0,
        lanes: int = 1,
    ) -> None:
        self._tokenizer, self._make_packer, self._seed = tokenizer, make_packer, seed
        self._parquets = [shard.parquet for shard in shards]
        self._segments = _list_segments(shards)
        count = len(self._segments)
        if not count:
            raise InputError(f"{tokenizer.spec.name}: the dataset holds no episode of it, all were dropped")
        # (first, step) of this lane's segments, and of the sequences that it keeps.
        self._segment_share = (lane, lanes) if count >= lanes else (0, 1)
        self._sequence_share = (0, 1) if count >= lanes else (lane, lanes)
        wanted = CHUNK_SEQUENCES * length / min_step_tokens(tokenizer.spec, tokenizer.encoding)
        per_chunk = max(1, round(wanted / float(self._segments["steps"].mean())))
        first, step = self._segment_share
        self._epoch_chunks = -(-len(range(first, count, step)) // per_chunk)

    @property
    def epoch_chunks(self) -> int:
        """Number of chunks in an epoch."""
        return self._epoch_chunks

    def __call__(self, number: int) -> Sequences:
        """Returns the sequences of chunk `number` ≥ 0. Chunks continue over epochs, without end.

        Raises:
            InputError: a file is damaged.
        """
        epoch, index = divmod(number, self._epoch_chunks)
        (first, step), (kept, of) = self._segment_share, self._sequence_share
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self._segments))[first::step]
        random = np.random.default_rng([self._seed, epoch, first, index])
        sequences = self._pack(self._segments[order[index :: self._epoch_chunks]], int(random.integers(2**31)))
        shuffled = random.permutation(len(sequences))
        # Offset by the chunk's number over all epochs: otherwise a lane would never get a sequence if an epoch has
        # fewer sequences than lanes.
        return sequences.take(shuffled[(number + np.arange(len(sequences))) % of == kept])

    def _pack(self, segments: NDArray[np.void], seed: int) -> Sequences:
        packer, tokens = self._make_packer(seed), self._read(segments)
        # Gives the packer an episode for prompts: otherwise the first sequences of every chunk would have none.
        packer.add_prompt_episode(len(tokens) - 1, tokens[-1], bool(segments["last"][-1]))
        parts = [
            packer.add(steps, int(segment["version"]), bool(segment["last"]))
            for steps, segment in zip(tokens, segments, strict=True)
        ]
        return join_sequences([part for part in [*parts, packer.flush()] if part is not None])

    def _read(self, segments: NDArray[np.void]) -> list[StepTokens]:
        """Returns the tokens of each segment. Reads segments of one file together and encodes all at once."""
        tables, starts, total = [], np.zeros(len(segments), np.int64), 0
        for shard in np.unique(segments["shard"]):
            (mine,) = np.nonzero(segments["shard"] == shard)
            groups = [group for i in mine for group in range(segments["group"][i], segments["end"][i])]
            tables.append(read_groups(self._parquets[shard], groups))
            lengths = segments["steps"][mine]
            starts[mine] = total + np.cumsum(lengths) - lengths
            total += int(lengths.sum())
        try:
            tokens = self._tokenizer.encode(*decode_steps(self._tokenizer.spec, pa.concat_tables(tables)))
        except (*READ_ERRORS, pa.ArrowException) as error:
            names = ", ".join(str(self._parquets[shard]) for shard in np.unique(segments["shard"]))
            raise InputError(f"{names}: its steps are not its task's: {brief(error)}") from error
        return [
            tokens.take(slice(start, start + steps)) for start, steps in zip(starts, segments["steps"], strict=True)
        ]


def _list_segments(shards: list[Shard]) -> NDArray[np.void]:
    """Cuts every episode into segments of at most `SEGMENT_GROUPS` row groups. Returns [n] of `_SEGMENT`."""
    segments = []
    for number, shard in enumerate(shards):
        for entry in shard.manifest.entries:
            for group in range(entry.first_group, entry.end_group, SEGMENT_GROUPS):
                end = min(group + SEGMENT_GROUPS, entry.end_group)
                steps_before = (group - entry.first_group) * GROUP_STEPS
                steps = min(entry.steps - steps_before, SEGMENT_GROUPS * GROUP_STEPS)
                last = end == entry.end_group
                segments.append((number, group, end, steps, last, entry.provenance.weights_version))
    return np.array(segments, _SEGMENT)
