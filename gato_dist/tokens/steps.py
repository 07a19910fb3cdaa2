"""Tokens of whole time steps, before they are cut into sequences."""

from dataclasses import dataclass, replace
from itertools import accumulate

import numpy as np

_PER_TOKEN = ("token", "kind", "local_position", "valid", "correction")


@dataclass
class StepTokens:
    """The tokens of T time steps, K positions each; texts of unequal length leave positions that are not valid.

    token int32 [T, K]; kind uint8 [T, K]; local_position int16 [T, K]: an observation token's index inside its
    step, an action token's index inside its action; valid bool [T, K]. correction int16 [T, K]: what is to be
    learned there less `token`, which is what was done: 0 wherever the two agree, and at observations.
    patches uint8 [T, P, 16, 16, 3] and their places uint8 [P, 2, 2], for the positions of kind PATCH in order;
    tensors float32 [T, N, D], or uint8 where all are grids, zero-padded to D, for those of kind TENSOR and GRID in
    order.
    """

    token: np.ndarray
    kind: np.ndarray
    local_position: np.ndarray
    valid: np.ndarray
    patches: np.ndarray
    places: np.ndarray
    tensors: np.ndarray
    correction: np.ndarray

    def __len__(self) -> int:
        return len(self.token)

    @property
    def lengths(self) -> np.ndarray:
        """Valid tokens of each step: int64 [T]."""
        return self.valid.sum(axis=1)

    def take(self, index: np.ndarray | slice) -> "StepTokens":
        """These steps, in this order."""
        per_token = {name: getattr(self, name)[index] for name in _PER_TOKEN}
        return StepTokens(**per_token, patches=self.patches[index], places=self.places, tensors=self.tensors[index])

    def without_rides(self) -> "StepTokens":
        """The same tokens, without patches and tensors."""
        none = np.zeros((len(self), 0), np.uint8)
        return replace(self, patches=none, tensors=none)

    @staticmethod
    def join(parts: "list[StepTokens]") -> "StepTokens":
        """Steps of one task, one after the other; K becomes the largest."""
        if len(parts) == 1:
            return parts[0]
        width = max(part.token.shape[1] for part in parts)

        def stack(name: str) -> np.ndarray:
            arrays = [getattr(part, name) for part in parts]
            joined = np.zeros((sum(map(len, arrays)), width), arrays[0].dtype)
            for array, end in zip(arrays, accumulate(map(len, arrays)), strict=True):
                joined[end - len(array) : end, : array.shape[1]] = array
            return joined

        return StepTokens(
            **{name: stack(name) for name in _PER_TOKEN},
            patches=np.concatenate([part.patches for part in parts]),
            places=parts[0].places,
            tensors=np.concatenate([part.tensors for part in parts]),
        )
