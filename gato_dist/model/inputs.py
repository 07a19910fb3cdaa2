"""Moves a `Batch` to a device, as tensors whose indices and counts were computed on the host.

Indices that depend on a batch's content (positions of patches, positions that carry loss) could be computed on the
device, but then the host would have to wait for the device to learn their number. Counts may be padded to a few sizes,
so that torch.compile meets only a few shapes.

Shapes: B sequences of L tokens, P patches, N compact tensors of width D, M targets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gato_dist.sequence import Batch, Kind

PadSize = Callable[[int], int]  # The padded size for a count.

# Arrays [B, L] of a `Batch` that the model uses.
PER_TOKEN = ("token", "kind", "local_position", "segment", "step", "position", "loss_mask")


def exact_size(count: int) -> int:
    """Returns `count`: no padding."""
    return count


def bucket_size(count: int) -> int:
    """Returns the smallest of 8, 10, 12, 14, 16, 20, 24, 28, 32 … that holds `count`. At most a fifth is padding."""
    if count <= 8:
        return 8
    step = 1 << ((count - 1).bit_length() - 3)
    return -(-count // step) * step


@dataclass(kw_only=True)
class ModelInputs:
    """The model's inputs on one device.

    Attributes:
        token, kind, local_position, segment, step, position, loss_mask: [B, L], as in `Batch`.
        patches: uint8 [P, 16, 16, 3], as in `Batch`.
        patch_positions: uint8 [P, 2, 2], as in `Batch`.
        tensors: float32 [N, D], as in `Batch`.
        patch_at: int64 [P], position of each patch among all B·L positions; B·L for padding.
        tensor_at: int64 [N], position of each tensor among all B·L positions; B·L for padding.
        numeric: int64, indices of the tensors that hold standardised numbers.
        grid: int64, indices of the tensors that hold the values of a grid.
        one_segment: true if every sequence has one segment. A causal mask is then enough, because padding comes last.
    """

    token: Tensor
    kind: Tensor
    local_position: Tensor
    segment: Tensor
    step: Tensor
    position: Tensor
    loss_mask: Tensor
    patches: Tensor
    patch_positions: Tensor
    tensors: Tensor
    patch_at: Tensor
    tensor_at: Tensor
    numeric: Tensor
    grid: Tensor
    one_segment: bool

    @classmethod
    def from_batch(cls, batch: Batch, device: torch.device | str = "cpu", size: PadSize = exact_size) -> "ModelInputs":
        """Makes inputs for training.

        At least one patch and one tensor are padding, so that every weight takes part in every step. Otherwise a worker
        whose share of the batch has no image would lack gradients that other workers have.

        Args:
            batch: the batch.
            device: where the inputs are used.
            size: padded sizes of P, N, numeric and grid.
        """
        return cls.from_arrays(
            {name: getattr(batch, name) for name in PER_TOKEN},
            patches=batch.patches,
            patch_positions=batch.patch_positions,
            tensors=batch.tensors,
            device=device,
            size=lambda count: size(count + 1),
        )

    @classmethod
    def from_arrays(
        cls,
        per_token: dict[str, NDArray[Any]],
        *,
        patches: NDArray[np.uint8],
        patch_positions: NDArray[np.uint8],
        tensors: NDArray[np.float32],
        device: torch.device | str,
        size: PadSize = exact_size,
    ) -> "ModelInputs":
        """Makes inputs from arrays.

        Args:
            per_token: the arrays [B, L] named in `PER_TOKEN`.
            patches: uint8 [P, 16, 16, 3].
            patch_positions: uint8 [P, 2, 2].
            tensors: float32 [N, D].
            device: where the inputs are used.
            size: padded sizes of P, N, numeric and grid; by default without padding, for acting.
        """
        kind = per_token["kind"].reshape(-1)
        patch_at = np.flatnonzero(kind == Kind.PATCH)
        tensor_at = np.flatnonzero((kind == Kind.TENSOR) | (kind == Kind.GRID))
        is_grid = kind[tensor_at] == Kind.GRID
        numeric, grid = np.flatnonzero(~is_grid), np.flatnonzero(is_grid)
        patch_count, tensor_count = size(len(patches)), size(len(tensors))
        last_tensor = tensor_count - 1  # It is padding, if there is any padding.
        arrays = per_token | {
            "patches": _pad(patches, patch_count),
            "patch_positions": _pad(patch_positions, patch_count),
            "tensors": _pad(tensors, tensor_count),
            "patch_at": _pad(patch_at, patch_count, kind.size),
            "tensor_at": _pad(tensor_at, tensor_count, kind.size),
            "numeric": _pad(numeric, size(len(numeric)), last_tensor),
            "grid": _pad(grid, size(len(grid)), last_tensor),
        }
        return cls(
            **{name: to_device(array, device) for name, array in arrays.items()},
            one_segment=_has_one_segment(per_token["segment"]),
        )


@dataclass
class OutputPositions:
    """Positions whose final hidden states are needed. The model's last layer skips all others.

    Attributes:
        index: int64 [B, m], positions of each sequence, padded to the same number.
        chosen: int64 [M], the needed ones among those B·m positions, sequence by sequence.
    """

    index: Tensor
    chosen: Tensor

    @classmethod
    def from_mask(
        cls, mask: NDArray[np.bool_], device: torch.device | str = "cpu", size: PadSize = exact_size
    ) -> "OutputPositions":
        """Selects the true positions of a mask.

        Args:
            mask: bool [B, L].
            device: where the positions are used.
            size: padded sizes of m and M.
        """
        sequences, length = mask.shape
        sequence, column = mask.nonzero()
        counts = mask.sum(1)
        width = min(max(size(int(counts.max(initial=0))), 1), length)
        rank = np.arange(len(sequence)) - (np.cumsum(counts) - counts)[sequence]
        index = np.zeros((sequences, width), np.int64)
        index[sequence, rank] = column
        # Padding points at position 0. Its hidden state does not matter, because its loss has a weight of zero.
        chosen = np.zeros(size(len(sequence)), np.int64)
        chosen[: len(sequence)] = sequence * width + rank
        return cls(to_device(index, device), to_device(chosen, device))


@dataclass
class LossTargets:
    """The M tokens that the loss is computed for, sequence by sequence.

    Attributes:
        outputs: the positions before these tokens, whose hidden states predict them.
        token: int64 [M], ids of the target tokens.
        continuous: bool [M], true for continuous actions.
        weight: float32 [M], 1; 0 for padding.
    """

    outputs: OutputPositions
    token: Tensor
    continuous: Tensor
    weight: Tensor

    @classmethod
    def from_batch(cls, batch: Batch, device: torch.device | str = "cpu", size: PadSize = exact_size) -> "LossTargets":
        """Selects the targets of a batch.

        Args:
            batch: the batch.
            device: where the targets are used.
            size: padded sizes of M and of the positions.
        """
        mask = batch.loss_mask[:, 1:]
        token, kind = (batch.token + batch.correction)[:, 1:][mask], batch.kind[:, 1:][mask]
        count = size(len(token))
        return cls(
            outputs=OutputPositions.from_mask(np.pad(mask, ((0, 0), (0, 1))), device, size),
            token=to_device(_pad(token.astype(np.int64), count), device),
            continuous=to_device(_pad(kind == Kind.ACTION_CONTINUOUS, count), device),
            weight=to_device(_pad(np.ones(len(token), np.float32), count), device),
        )


def sequence_of_targets(batch: Batch) -> NDArray[np.int64]:
    """Returns the index of the sequence of each target, int64 [M]."""
    return batch.loss_mask[:, 1:].nonzero()[0]


def _has_one_segment(segment: NDArray[Any]) -> bool:
    after, before = segment[:, 1:], segment[:, :-1]
    return not bool(((after != before) & (after >= 0)).any())


def _pad(array: NDArray[Any], length: int, value: int = 0) -> NDArray[Any]:
    missing = length - len(array)
    return np.concatenate([array, np.full((missing, *array.shape[1:]), value, array.dtype)]) if missing else array


def to_device(array: NDArray[Any], device: torch.device | str) -> Tensor:
    """Copies an array to a device. A copy to a GPU is asynchronous, through pinned memory."""
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    if torch.device(device).type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
