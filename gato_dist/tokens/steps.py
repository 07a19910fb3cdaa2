"""The tokens of whole time steps, before `packing` cuts them into sequences."""

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PER_TOKEN = ("token", "kind", "local_position", "valid", "correction")


@dataclass(kw_only=True)
class StepTokens:
    """The tokens of T time steps of one task, with K positions for each step.

    Texts differ in length, so some positions of a step may be unused; `valid` is false for them.

    Attributes:
        token: int32 [T, K], token ids.
        kind: uint8 [T, K], a `Kind` for each position.
        local_position: int16 [T, K], index of an observation token in its time step, or of an action token in its
            action.
        valid: bool [T, K], false for unused positions.
        patches: uint8 [T, P, 16, 16, 3], pixels, in the order of the positions of kind PATCH.
        patch_positions: uint8 [P, 2, 2], as in `Sequences`; the same for all steps.
        tensors: float32 [T, N, D], or uint8 if all are grids, zero-padded to D, in the order of the positions of kind
            TENSOR and GRID.
        correction: int16 [T, K], target token minus `token`, which is the action that was taken. It is 0 for
            observations, and if the action is itself the target.
    """

    token: NDArray[np.int32]
    kind: NDArray[np.uint8]
    local_position: NDArray[np.int16]
    valid: NDArray[np.bool_]
    patches: NDArray[np.uint8]
    patch_positions: NDArray[np.uint8]
    tensors: NDArray[Any]
    correction: NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.token)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of valid tokens of each step, int64 [T]."""
        lengths: NDArray[np.int64] = self.valid.sum(axis=1)
        return lengths

    def take(self, index: NDArray[Any] | slice) -> "StepTokens":
        """Returns the selected steps, in the order of `index`."""
        return StepTokens(
            **{name: getattr(self, name)[index] for name in _PER_TOKEN},
            patches=self.patches[index],
            patch_positions=self.patch_positions,
            tensors=self.tensors[index],
        )

    def without_payload(self) -> "StepTokens":
        """Returns the same tokens without patches and tensors, which are by far the most bytes."""
        empty = np.zeros((len(self), 0), np.uint8)
        return replace(self, patches=empty, tensors=empty)

    @staticmethod
    def join(parts: "list[StepTokens]") -> "StepTokens":
        """Concatenates steps of one task along T. K becomes the largest K of the parts."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.token.shape[1] for part in parts)

        def stack(name: str) -> NDArray[Any]:
            arrays = [getattr(part, name) for part in parts]
            joined = np.zeros((sum(map(len, arrays)), width), arrays[0].dtype)
            for array, end in zip(arrays, accumulate(map(len, arrays)), strict=True):
                joined[end - len(array) : end, : array.shape[1]] = array
            return joined

        return StepTokens(
            **{name: stack(name) for name in _PER_TOKEN},
            patches=np.concatenate([part.patches for part in parts]),
            patch_positions=parts[0].patch_positions,
            tensors=np.concatenate([part.tensors for part in parts]),
        )
