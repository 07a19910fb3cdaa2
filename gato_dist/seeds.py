"""Seeds of environments, by who uses them: no two uses ever share one.

envpool takes seeds below 2³¹. Evaluation owns the upper half, so that no expert of any run or collection ever
demonstrates a world that Gato is scored on; reference scores are measured on worlds of their own.
"""

import zlib

from gato_dist.errors import InputError

EVALUATION_START = 2**30
REFERENCE_START = 2**29
DATASET_START = 3 * 2**28
DATASET_SEEDS = 2**20  # episodes of a task that one seed of a collection can draw
BLOCK = 1024
BLOCK_SEQUENCES = 1 << 31  # more than an actor writes before it is started again: 88 days of 280 a second
BLOCKS = 1 << 22  # item ids of so many are whole numbers in a float64, which Reverb keeps them as


def task_seed(task: str, seed: int) -> int:
    """What a policy draws its actions by in the world `seed` of a task: no two tasks share their draws."""
    return zlib.crc32(task.encode()) << 32 | seed


def teaches(seed: int) -> bool:
    """Whether it is one of those on which experts show what Gato learns from."""
    return seed < REFERENCE_START or DATASET_START <= seed < EVALUATION_START


def first_sequence(block: int) -> int:
    """The item id that rows of one actor's seed block begin with."""
    return block * BLOCK_SEQUENCES


def sequence_block(item: int) -> int:
    """The seed block of the actor that wrote a row."""
    return item // BLOCK_SEQUENCES


def expert_seeds(run_seed: int, block: int, count: int) -> list[int]:
    """Seeds of one expert actor's environments. block: a number that no other actor of the run was given.

    Worlds come again after 524,288 blocks.
    """
    first = (run_seed * 7919 + block) * BLOCK
    return [(first + i) % REFERENCE_START for i in range(count)]


def evaluation_seeds(count: int, first: int = 0) -> list[int]:
    """Held-out seeds `first` … `first + count − 1`: the same for every version, so that curves compare."""
    _check_room(first + count, 2**31 - EVALUATION_START)
    return [EVALUATION_START + first + i for i in range(count)]


def reference_seeds(count: int, seed: int = 0) -> list[int]:
    """Seeds on which random and expert scores are measured."""
    _check_room(seed * BLOCK + count, DATASET_START - REFERENCE_START)
    return [REFERENCE_START + seed * BLOCK + i for i in range(count)]


def dataset_seeds(first: int, count: int, seed: int = 0) -> list[int]:
    """Seeds of episodes `first` … `first + count − 1` of a collected dataset: the same on any number of workers."""
    start = DATASET_START + seed % 256 * DATASET_SEEDS
    return [start + (first + i) % DATASET_SEEDS for i in range(count)]


def _check_room(wanted: int, room: int) -> None:
    if wanted > room:
        raise InputError(f"--seed, --episodes: together they ask for {wanted:,} worlds; there are {room:,}")
