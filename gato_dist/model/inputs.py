"""A `Batch` as tensors on one device, with all that depends on its content counted and indexed beforehand.

What would otherwise be looked for on the device (where patches go, which positions carry loss) is a small array that
the host makes: a device that must say how many it found stops until it has. Counts may be padded to a few sizes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gato_dist.sequence import Batch, Kind

Size = Callable[[int], int]


def exact(count: int) -> int:
    """No padding: what costs least where every shape is as good as another."""
    return count


def bucket(count: int) -> int:
    """The least of 8, 10, 12, 14, 16, 20, 24, 28, 32 … that holds `count`: a fifth is lost at most."""
    if count <= 8:
        return 8
    step = 1 << ((count - 1).bit_length() - 3)
    return -(-count // step) * step


@dataclass
class Inputs:
    """token … loss_mask [B, L], patches [P, …], places [P, …], tensors [N, D]: fields and shapes of `Batch`.

    patch_at int64 [P], tensor_at int64 [N]: position of each among all B·L; B·L for what is padding.
    numeric, grid int64: which of the N tensors hold numbers, which values of a grid. one_segment: no row has two, so
    that whoever looks at all before it looks at nothing else; padding comes last.
    """

    token: Tensor
    kind: Tensor
    local_position: Tensor
    segment: Tensor
    step: Tensor
    position: Tensor
    loss_mask: Tensor
    patches: Tensor
    places: Tensor
    tensors: Tensor
    patch_at: Tensor
    tensor_at: Tensor
    numeric: Tensor
    grid: Tensor
    one_segment: bool

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str = "cpu", size: Size = exact) -> "Inputs":
        """For training: one patch and one tensor at least are padding, so that every weight takes part in every step.

        Workers whose share of a batch has no image would otherwise lack gradients that others have.
        """
        rows = {name: getattr(batch, name) for name in BATCH_ROWS}
        riding = (batch.patches, batch.places, batch.tensors)
        return cls._make(rows, riding, device, lambda count: size(count + 1))

    @classmethod
    def unpadded(
        cls, rows: dict[str, np.ndarray], riding: tuple[np.ndarray, np.ndarray, np.ndarray], device: torch.device | str
    ) -> "Inputs":
        """For acting. rows: token … loss_mask by name; riding: patches, places, tensors."""
        return cls._make(rows, riding, device, exact)

    @classmethod
    def _make(
        cls,
        rows: dict[str, np.ndarray],
        riding: tuple[np.ndarray, np.ndarray, np.ndarray],
        device: torch.device | str,
        size: Size,
    ) -> "Inputs":
        patches, places, tensors = riding
        kind = rows["kind"].reshape(-1)
        patch_at = np.flatnonzero(kind == Kind.PATCH)
        tensor_at = np.flatnonzero((kind == Kind.TENSOR) | (kind == Kind.GRID))
        is_grid = kind[tensor_at] == Kind.GRID
        many = {"patches": size(len(patches)), "tensors": size(len(tensors))}
        last = many["tensors"] - 1  # padding, wherever there is any
        arrays = rows | {
            "patches": _pad(patches, many["patches"]),
            "places": _pad(places, many["patches"]),
            "tensors": _pad(tensors, many["tensors"]),
            "patch_at": _pad(patch_at, many["patches"], kind.size),
            "tensor_at": _pad(tensor_at, many["tensors"], kind.size),
            "numeric": _pad(np.flatnonzero(~is_grid), size(int((~is_grid).sum())), last),
            "grid": _pad(np.flatnonzero(is_grid), size(int(is_grid.sum())), last),
        }
        return cls(
            **{name: to_device(array, device) for name, array in arrays.items()},
            one_segment=_one_segment(rows["segment"]),
        )


BATCH_ROWS = ("token", "kind", "local_position", "segment", "step", "position", "loss_mask")


@dataclass
class Wanted:
    """Positions whose final hidden states are wanted.

    index int64 [B, m]: of each row, padded; which int64 [M]: the wanted ones among those B·m, row after row.
    """

    index: Tensor
    which: Tensor

    @classmethod
    def where(cls, mask: np.ndarray, device: torch.device | str = "cpu", size: Size = exact) -> "Wanted":
        """The true positions of `mask`, bool [B, L], each row's in order. size: m and M from what they must hold."""
        rows, length = mask.shape
        row, column = mask.nonzero()
        count = mask.sum(1)
        room = min(max(size(int(count.max(initial=0))), 1), length)
        order = np.arange(len(row)) - (np.cumsum(count) - count)[row]
        index = np.zeros((rows, room), np.int64)
        index[row, order] = column
        # What pads `which` has a weight of zero, whatever its hidden state is.
        which = np.zeros(size(len(row)), np.int64)
        which[: len(row)] = row * room + order
        return cls(to_device(index, device), to_device(which, device))


@dataclass
class Targets:
    """The M tokens that the loss asks for, row after row. wanted: the positions that predict them.

    token int64 [M]; continuous bool [M]: continuous actions; real float32 [M]: 0 for padding, else 1.
    """

    wanted: Wanted
    token: Tensor
    continuous: Tensor
    real: Tensor

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str = "cpu", size: Size = exact) -> "Targets":
        carries = batch.loss_mask[:, 1:]
        token, kind = (batch.token + batch.correction)[:, 1:][carries], batch.kind[:, 1:][carries]
        many = size(len(token))
        return cls(
            Wanted.where(np.pad(carries, ((0, 0), (0, 1))), device, size),
            to_device(_pad(token.astype(np.int64), many), device),
            to_device(_pad(kind == Kind.ACTION_CONTINUOUS, many), device),
            to_device(_pad(np.ones(len(token), np.float32), many), device),
        )


def target_rows(batch: Batch) -> np.ndarray:
    """The row of each target: int64 [M]."""
    return batch.loss_mask[:, 1:].nonzero()[0]


def _one_segment(segment: np.ndarray) -> bool:
    after, before = segment[:, 1:], segment[:, :-1]
    return not bool(((after != before) & (after >= 0)).any())


def _pad(array: np.ndarray, length: int, value: int = 0) -> np.ndarray:
    missing = length - len(array)
    return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)]) if missing else array


def to_device(array: np.ndarray, device: torch.device | str) -> Tensor:
    """A tensor of it. To a GPU it goes through pinned memory, and nobody waits for it."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
