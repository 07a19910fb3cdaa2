"""Prepares batches for the device: splits them, indexes them on the host, and on a GPU copies them ahead of time."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Queue
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gato_dist.model.inputs import LossTargets, ModelInputs, PadSize, sequence_of_targets
from gato_dist.sequence import Batch, split_batch


@dataclass
class DeviceBatch:
    """A worker's share of a batch on its device.

    Attributes:
        batch: the batch in host memory.
        parts: inputs and targets of the parts that are computed one after another.
        tasks: for each part, int16 [M], task index of each target.
        copied: the end of the copies to a GPU; None if the tensors are ready.
    """

    batch: Batch
    parts: list[tuple[ModelInputs, LossTargets]]
    tasks: list[NDArray[np.int16]]
    copied: torch.cuda.Event | None = None

    @classmethod
    def from_batch(cls, batch: Batch, parts: int, device: torch.device, size: PadSize) -> "DeviceBatch":
        """Splits a batch and copies it to the device.

        Args:
            batch: the batch.
            parts: number of equal parts.
            device: where the batch is used.
            size: padded sizes of counts that vary between batches.

        Raises:
            ValueError: if the sequences cannot be divided into equal parts.
        """
        shares = split_batch(batch, parts)
        tensors = [
            (ModelInputs.from_batch(share, device, size), LossTargets.from_batch(share, device, size))
            for share in shares
        ]
        return cls(batch, tensors, [share.task[sequence_of_targets(share)] for share in shares])

    @property
    def targets(self) -> int:
        """Number of targets of all parts."""
        return sum(map(len, self.tasks))

    def wait(self) -> None:
        """Makes the GPU's current stream wait for the copies. The host does not wait."""
        if self.copied is not None:
            stream = torch.cuda.current_stream()
            stream.wait_event(self.copied)
            for inputs, targets in self.parts:
                for tensor in _tensors(inputs, targets):
                    # Otherwise the allocator could reuse the memory for the next copy while it is still read here.
                    tensor.record_stream(stream)


def _tensors(inputs: ModelInputs, targets: LossTargets) -> list[torch.Tensor]:
    values: list[Any] = [*vars(inputs).values(), *vars(targets.outputs).values(), *vars(targets).values()]
    return [value for value in values if isinstance(value, torch.Tensor) and value.numel()]


def device_batches(
    batches: Iterable[Batch], prepare: Callable[[Batch], DeviceBatch], device: torch.device
) -> Iterator[DeviceBatch]:
    """Prepares batches. For a GPU, a thread copies the next batch while the current one is computed.

    Args:
        batches: batches in host memory.
        prepare: copies one batch to the device.
        device: where the batches are used.
    """
    if device.type != "cuda":
        return map(prepare, batches)
    stream = torch.cuda.Stream(device)

    def copy(batch: Batch) -> DeviceBatch:
        torch.cuda.set_device(device)
        with torch.cuda.stream(stream):
            prepared = prepare(batch)
            prepared.copied = stream.record_event()
        return prepared

    return prefetch(batches, copy)


def prefetch(batches: Iterable[Batch], prepare: Callable[[Batch], DeviceBatch]) -> Iterator[DeviceBatch]:
    """Prepares batches in a thread, one ahead of the consumer. Errors of the thread are raised here."""
    queue: Queue[DeviceBatch | BaseException | None] = Queue(maxsize=1)

    def work() -> None:
        try:
            for batch in batches:
                queue.put(prepare(batch))
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    # A daemon thread: it waits for room for ever if the consumer stops.
    threading.Thread(target=work, name="prefetch", daemon=True).start()
    while (prepared := queue.get()) is not None:
        if isinstance(prepared, BaseException):
            raise prepared
        yield prepared
