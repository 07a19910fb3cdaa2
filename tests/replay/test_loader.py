"""Loading from disk: the same sequences as through replay, each step once an epoch, resumable at any batch."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import fields
from functools import partial
from itertools import islice

import numpy as np
import pytest

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.errors import InputError
from gato_dist.sequence import Batch, DataPosition, Sequences, join_batches
from gato_dist.tokens.packing import Packer, Prompting, sequence_shape
from replay.dataset.shards import Shard, write_shard
from replay.episode_chunks import EpisodeChunks
from replay.loader import DiskSource, LaneStream, load_batches
from replay.reverb.sampler import table_sequences
from replay.reverb.starting import start_server
from replay.reverb.writer import SequenceWriter
from replay.sequence_blocks import join_sequences
from tests.support.episodes import episode
from tests.support.fakes import ARM, tokenizer_of

LENGTH = 64
LENGTHS = [5 + 23 * i for i in range(12)]  # steps of episodes; some are longer than a segment


class MakePacker:
    """A class, because loader processes pickle it."""

    def __init__(self, prompting: Prompting = Prompting()) -> None:  # noqa: B008  (frozen)
        self.prompting = prompting

    def __call__(self, seed: int) -> Packer:
        return Packer(tokenizer_of(ARM), length=LENGTH, window_steps=1, seed=seed, prompting=self.prompting)


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> list[Shard]:
    folder = tmp_path_factory.mktemp("data")
    for shard in range(3):
        made = {4 * shard + i: episode(LENGTHS[4 * shard + i], 4 * shard + i) for i in range(4)}
        write_shard(folder / f"toy.arm/{shard:06d}", ARM, made)
    return [Shard(path) for path in sorted(folder.glob("toy.arm/*.json"))]


def chunks(shards: list[Shard], lane: int = 0, lanes: int = 1, prompting: Prompting = Prompting()) -> EpisodeChunks:  # noqa: B008
    return EpisodeChunks(
        shards, tokenizer_of(ARM), length=LENGTH, make_packer=MakePacker(prompting), seed=7, lane=lane, lanes=lanes
    )


def steps_of(sequences: Sequences) -> Counter:
    """Counts the steps in sequences by their tokens, pose and camera. Windows are one step long here."""
    found: Counter = Counter()
    each = tokenizer_of(ARM).tensors_per_step
    patches = sequences.patches.reshape(len(sequences), -1, 2, 16, 16, 3)
    tensors = sequences.tensors.reshape(len(sequences), -1, each, sequences.tensors.shape[2])
    for index in range(len(sequences)):
        for segment in range(sequences.segment[index].max() + 1):
            mine = sequences.segment[index] == segment
            ride = patches[index, segment].tobytes() + tensors[index, segment].tobytes()
            found[sequences.token[index, mine].tobytes() + sequences.loss_mask[index, mine].tobytes() + ride] += 1
    return found


def test_replay_and_disk_give_the_same_steps_of_the_same_episodes(shards):
    tokenizer, packer = tokenizer_of(ARM), MakePacker()(1)
    played = [episode(steps, i) for i, steps in enumerate(LENGTHS)]
    parts = [packer.add(tokenizer.encode(each.observations, each.targets)) for each in played]
    written = join_sequences([part for part in [*parts, packer.flush()] if part is not None])
    shape = sequence_shape(tokenizer, LENGTH)
    server = start_server({"toy/arm": shape}, ReplayConfig())
    address = f"localhost:{server.port}"
    with SequenceWriter(address, "toy/arm", lambda: False) as writer:
        writer.write(written)
    sampled: dict[int, Sequences] = {}
    for block in table_sequences(address, "toy/arm", shape, block=1):
        sampled[int(block.item_id[0])] = block
        if len(sampled) == len(written):
            break
    server.stop()
    live = steps_of(join_sequences(list(sampled.values())))
    disk = steps_of(join_sequences([chunks(shards)(i) for i in range(chunks(shards).epoch_chunks)]))
    # Not compared by assert: what pytest would print of a difference takes it minutes.
    assert (live == disk) is True
    assert sum(disk.values()) == sum(LENGTHS)


@pytest.mark.parametrize("lanes", [1, 3, 8, 40])
def test_all_lanes_of_an_epoch_hold_every_step_once(shards, lanes):
    parts = []
    for lane in range(lanes):
        mine = chunks(shards, lane, lanes)
        parts += [mine(number) for number in range(mine.epoch_chunks)]
    found = steps_of(join_sequences(parts))
    assert sum(found.values()) == sum(LENGTHS)
    assert set(found.values()) == {1}


def test_epochs_have_different_orders(shards):
    mine = chunks(shards)
    first, second = mine(0), mine(mine.epoch_chunks)
    assert not np.array_equal(first.token[:8], second.token[:8])


def test_every_chunk_has_its_share_of_prompted_sequences(shards):
    mine = chunks(shards, prompting=Prompting(share=1.0, tokens=24))
    sequences = join_sequences([mine(number) for number in range(2 * mine.epoch_chunks)])
    prompted = [
        bool((~sequences.loss_mask[i] & (sequences.kind[i] >= sequences.kind.max())).any())
        for i in range(len(sequences))
    ]
    assert np.mean(prompted) > 0.85


def test_a_stream_resumes_at_its_cursor(shards):
    whole, cut = LaneStream(chunks(shards)), LaneStream(chunks(shards))
    expected = whole.take(150)
    head = cut.take(67)
    tail = LaneStream(chunks(shards), *cut.cursor).take(83)
    for name in (field.name for field in fields(Sequences)):
        joined = np.concatenate([getattr(head, name), getattr(tail, name)])
        assert np.array_equal(getattr(expected, name), joined), name


def batches(shards: list[Shard], position: DataPosition | None = None, **options: int) -> Iterator[Batch]:
    make = partial(EpisodeChunks, shards, tokenizer_of(ARM), length=LENGTH, make_packer=MakePacker())
    sources = [DiskSource(i, 1.0 + i, partial(make, seed=i)) for i in (0, 1)]
    start = position or DataPosition.start("x", 5, 4, 2)
    return load_batches(sources, batch=8, lanes=4, tensor_size=4, position=start, **options)


def same_batch(a: Batch, b: Batch) -> bool:
    return all(np.array_equal(getattr(a, field.name), getattr(b, field.name)) for field in fields(Batch))


def test_batches_do_not_depend_on_workers_and_loader_processes(shards):
    alone = list(islice(batches(shards), 3))
    parts = [list(islice(batches(shards, rank=rank, workers=2), 3)) for rank in range(2)]
    assert all(same_batch(whole, join_batches([a, b])) for whole, a, b in zip(alone, *parts, strict=True))
    loaded = list(islice(batches(shards, loaders=2), 3))
    assert all(same_batch(whole, other) for whole, other in zip(alone, loaded, strict=True))


def test_batches_resume_at_a_position(shards):
    alone = list(islice(batches(shards), 6))
    position = DataPosition.from_dict(DataPosition("x", 5, 4, alone[3].cursor).to_dict())
    assert all(same_batch(a, b) for a, b in zip(alone[4:], batches(shards, position), strict=False))


def test_a_loader_process_names_a_damaged_file(shards, tmp_path):
    write_shard(tmp_path / "toy.arm/000000", ARM, {i: episode(9, i) for i in range(4)})
    (tmp_path / "toy.arm/000000.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"^[^\n]*000000.parquet: cannot be read[^\n]*$"):
        next(batches([Shard(tmp_path / "toy.arm/000000.json")], loaders=1))
