"""Batches made ready for the device: in parts, indexed on the host, and on a GPU ahead of time."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import Queue

import numpy as np
import torch

from gato_dist.model.inputs import Inputs, Size, Targets, target_rows
from gato_dist.sequence import Batch, split_batch


@dataclass
class Feed:
    """A worker's share of a batch, in the parts that it computes one after another.

    tasks: of each part's targets, int16 [M]. ready: when a GPU has it; None where that is at once.
    """

    batch: Batch
    parts: list[tuple[Inputs, Targets]]
    tasks: list[np.ndarray]
    ready: torch.cuda.Event | None = None

    @classmethod
    def of(cls, batch: Batch, parts: int, device: torch.device, size: Size) -> "Feed":
        """size: how counts that vary are padded. Raises ValueError where the rows cannot be split so."""
        shares = split_batch(batch, parts)
        tensors = [(Inputs.of(share, device, size), Targets.of(share, device, size)) for share in shares]
        return cls(batch, tensors, [share.task[target_rows(share)] for share in shares])

    @property
    def targets(self) -> int:
        return sum(map(len, self.tasks))

    def wait(self) -> None:
        """Lets the device's current work begin once the copies have arrived; the host does not wait."""
        if self.ready is not None:
            stream = torch.cuda.current_stream()
            stream.wait_event(self.ready)
            for tensors in self.parts:
                for tensor in _tensors(*tensors):
                    # Else its memory could be given away on the copies' stream while it is still read here.
                    tensor.record_stream(stream)


def _tensors(inputs: Inputs, targets: Targets) -> list[torch.Tensor]:
    held = [*vars(inputs).values(), *vars(targets.wanted).values(), *vars(targets).values()]
    return [tensor for tensor in held if isinstance(tensor, torch.Tensor) and tensor.numel()]


def feeds(batches: Iterable[Batch], make: Callable[[Batch], Feed], device: torch.device) -> Iterator[Feed]:
    """Feeds made by `make`; on a GPU they are copied there by a thread, one ahead, beside the computing."""
    if device.type != "cuda":
        return map(make, batches)
    stream = torch.cuda.Stream(device)

    def copy(batch: Batch) -> Feed:
        torch.cuda.set_device(device)
        with torch.cuda.stream(stream):
            feed = make(batch)
            feed.ready = stream.record_event()
        return feed

    return ahead(batches, copy)


def ahead(batches: Iterable[Batch], make: Callable[[Batch], Feed]) -> Iterator[Feed]:
    """Feeds made by a thread, one waiting while the last is used. What fails there is raised here."""
    queue: Queue[Feed | BaseException | None] = Queue(maxsize=1)

    def work() -> None:
        try:
            for batch in batches:
                queue.put(make(batch))
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    # A daemon: whoever stops taking feeds leaves it waiting for room.
    threading.Thread(target=work, name="feeds", daemon=True).start()
    while (feed := queue.get()) is not None:
        if isinstance(feed, BaseException):
            raise feed
        yield feed
