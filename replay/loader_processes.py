"""Loader processes: torch's DataLoader, with each process making a part of every batch."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from gato_dist.errors import InputError
from gato_dist.sequence import Batch, join_batches

# A loader without an answer for so long is dead. The first answer takes longest: the process imports every library.
ANSWER_SECONDS = 600.0
MAX_BATCHES_AHEAD = 4  # for each loader

MakeBatches = Callable[[], Iterable[Batch]]
Answer = dict[str, torch.Tensor] | str  # the fields of a batch, or the message of an InputError


class _LoaderParts(IterableDataset[Answer]):
    """In loader process i: the i-th part of every batch, as tensors, which travel in shared memory."""

    def __init__(self, parts: Sequence[MakeBatches]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[Answer]:
        import pyarrow as pa

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        os.nice(1)
        # When the process ends, a C++ thread may still be copying a batch to shared memory. A normal interpreter
        # shutdown would kill that thread inside a destructor, which aborts the process. `_exit` skips the shutdown.
        atexit.register(os._exit, 0)
        worker = get_worker_info()
        assert worker is not None
        try:
            for batch in self._parts[worker.id]():
                yield {field.name: torch.from_numpy(getattr(batch, field.name)) for field in fields(Batch)}
        except InputError as error:
            # DataLoader would turn an exception into a message with a long traceback.
            yield str(error)


def batches_from_processes(parts: Sequence[MakeBatches]) -> Iterator[Batch]:
    """Yields batches, each joined from one part of every loader process.

    Args:
        parts: for each process, a picklable function that makes its parts of the batches.

    Raises:
        InputError: as the parts do.
    """
    # Spawned, because a fork would inherit the locks of threads that Ray or TensorFlow run here.
    loader = DataLoader(
        _LoaderParts(parts),
        batch_size=None,
        num_workers=len(parts),
        prefetch_factor=MAX_BATCHES_AHEAD,
        timeout=ANSWER_SECONDS,
        multiprocessing_context="spawn",
    )
    answers = iter(loader)
    while True:
        # DataLoader asks its processes in turn.
        yield join_batches([_batch_of(next(answers)) for _ in parts])


def _batch_of(answer: Answer) -> Batch:
    if isinstance(answer, str):
        raise InputError(answer)
    return Batch(**{name: tensor.numpy() for name, tensor in answer.items()})
