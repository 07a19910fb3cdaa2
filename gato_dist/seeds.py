"""Seeds of environments by purpose. No two purposes share a seed.

envpool takes seeds below 2³¹. Evaluation owns the upper half, so that no expert ever demonstrates a level on which Gato
is scored. Experts of live runs, reference scores and collected datasets have separate parts of the lower half.
"""

import zlib

from gato_dist.errors import InputError

REFERENCE_START = 2**29
DATASET_START = 3 * 2**28
EVALUATION_START = 2**30
SEED_END = 2**31
DATASET_SEEDS = 2**20  # episodes of a task that one seed of a collection can draw
SEEDS_PER_BLOCK = 1024
SEQUENCES_PER_BLOCK = 1 << 31  # more than an actor writes between two restarts: 88 days at 280 per second
MAX_BLOCKS = 1 << 22  # Reverb stores item ids as float64, which holds the integers of this many blocks exactly


def action_seed(task: str, seed: int) -> int:
    """Returns the seed of a policy's random actions in one level of a task. Tasks never share one.

    Args:
        task: suite/name.
        seed: seed of the environment.
    """
    return zlib.crc32(task.encode()) << 32 | seed


def is_training_seed(seed: int) -> bool:
    """Returns whether experts demonstrate this seed for Gato to learn from."""
    return seed < REFERENCE_START or DATASET_START <= seed < EVALUATION_START


def first_sequence(block: int) -> int:
    """Returns the item id in replay of the first sequence that the actor of a seed block writes."""
    return block * SEQUENCES_PER_BLOCK


def sequence_block(item: int) -> int:
    """Returns the seed block of the actor that wrote a sequence, from the sequence's item id in replay."""
    return item // SEQUENCES_PER_BLOCK


def expert_seeds(run_seed: int, block: int, count: int) -> list[int]:
    """Returns the seeds of one expert actor's environments.

    Args:
        run_seed: seed of the run.
        block: number of the actor's seed block, unique in the run. Seeds repeat after 524,288 blocks.
        count: number of environments.
    """
    first = (run_seed * 7919 + block) * SEEDS_PER_BLOCK
    return [(first + i) % REFERENCE_START for i in range(count)]


def evaluation_seeds(count: int, first: int = 0) -> list[int]:
    """Returns held-out seeds `first` … `first + count − 1`: the same for every weights version, so that scores compare.

    Raises:
        InputError: if there are not as many.
    """
    _check_available(first + count, SEED_END - EVALUATION_START)
    return [EVALUATION_START + first + i for i in range(count)]


def reference_seeds(count: int, seed: int = 0) -> list[int]:
    """Returns the seeds on which reference scores are measured.

    Args:
        count: number of episodes.
        seed: seed of the measurement.

    Raises:
        InputError: if there are not as many.
    """
    _check_available(seed * SEEDS_PER_BLOCK + count, DATASET_START - REFERENCE_START)
    return [REFERENCE_START + seed * SEEDS_PER_BLOCK + i for i in range(count)]


def dataset_seeds(first: int, count: int, seed: int = 0) -> list[int]:
    """Returns one seed for each episode of a collected dataset. The seeds depend only on the arguments.

    Args:
        first: index of the first episode.
        count: number of episodes. Seeds repeat after 2²⁰ episodes.
        seed: seed of the collection, modulo 256.
    """
    start = DATASET_START + seed % 256 * DATASET_SEEDS
    return [start + (first + i) % DATASET_SEEDS for i in range(count)]


def _check_available(wanted: int, available: int) -> None:
    if wanted > available:
        raise InputError(f"--seed, --episodes: together they ask for {wanted:,} levels; there are {available:,}")
