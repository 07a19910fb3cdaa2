"""Loader processes: torch's DataLoader, with a share of every batch made by each of them."""

import atexit
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from gato_dist.errors import InputError
from gato_dist.sequence import Batch, join_batches

# A loader that says nothing for so long is dead; the first answer waits for every library to be imported.
ANSWER_SECONDS = 600.0
AHEAD = 4  # batches that each loader makes before they are wanted

Answer = dict[str, torch.Tensor] | str


class _Shares(IterableDataset):
    """In loader process i: the batches of the i-th share, as tensors, which travel in shared memory."""

    def __init__(self, shares: list[Callable[[], Iterable[Batch]]]) -> None:
        self._shares = shares

    def __iter__(self) -> Iterator[Answer]:
        import pyarrow as pa

        pa.set_cpu_count(1)
        pa.set_io_thread_count(1)
        os.nice(1)
        # A thread may still copy a batch to shared memory, in C++ and without the interpreter. Taking the interpreter
        # down would end that thread inside a destructor, which aborts the process. So it ends without.
        atexit.register(os._exit, 0)
        worker = get_worker_info()
        assert worker is not None
        try:
            for batch in self._shares[worker.id]():
                yield {field.name: torch.from_numpy(getattr(batch, field.name)) for field in fields(Batch)}
        except InputError as error:
            # An exception would cross as a traceback of many lines.
            yield str(error)


def in_processes(shares: list[Callable[[], Iterable[Batch]]]) -> Iterator[Batch]:
    """Batches joined of one of each share's, each share made in a process of its own. Raises InputError as they do."""
    # Spawned: a fork would inherit the locks of whatever threads Ray or TensorFlow run here.
    loader = DataLoader(
        _Shares(shares), batch_size=None, num_workers=len(shares), prefetch_factor=AHEAD, timeout=ANSWER_SECONDS,
        multiprocessing_context="spawn",
    )  # fmt: skip
    answers = iter(loader)
    while True:
        # DataLoader asks its processes in turn.
        yield join_batches([_opened(next(answers)) for _ in shares])


def _opened(answer: Answer) -> Batch:
    if isinstance(answer, str):
        raise InputError(answer)
    return Batch(**{name: tensor.numpy() for name, tensor in answer.items()})
