"""Consecutive tokens that a decoder reads at once, and their conversion to model inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gato_dist.model.inputs import PER_TOKEN, ModelInputs
from gato_dist.sequence import Kind
from gato_dist.tokens.steps import StepTokens


@dataclass(kw_only=True)
class TokenChunk:
    """Consecutive tokens of one time step, or of a text.

    Attributes:
        token, kind, local_position: [k], as in `StepTokens`.
        step: number of the time step.
        patches, patch_positions, tensors: of this chunk, as in `StepTokens` but without the first axis T.
    """

    token: NDArray[Any]
    kind: NDArray[Any]
    local_position: NDArray[Any]
    step: int
    patches: NDArray[np.uint8]
    patch_positions: NDArray[np.uint8]
    tensors: NDArray[Any]

    def __len__(self) -> int:
        return len(self.token)

    @classmethod
    def of_step(cls, steps: StepTokens, index: int, number: int) -> "TokenChunk":
        """Returns the tokens of step `index`, as time step `number`."""
        valid = steps.valid[index]
        return cls(
            token=steps.token[index][valid],
            kind=steps.kind[index][valid],
            local_position=steps.local_position[index][valid],
            step=number,
            patches=steps.patches[index],
            patch_positions=steps.patch_positions,
            tensors=steps.tensors[index],
        )

    @classmethod
    def of_token(cls, token: int, kind: Kind, local_position: int, number: int) -> "TokenChunk":
        """Returns a single token of time step `number`."""
        return cls(
            token=np.array([token]),
            kind=np.array([kind]),
            local_position=np.array([local_position]),
            step=number,
            patches=np.zeros((0, 16, 16, 3), np.uint8),
            patch_positions=np.zeros((0, 2, 2), np.uint8),
            tensors=np.zeros((0, 0), np.float32),
        )

    def with_action(self, tokens: NDArray[np.int64], kind: Kind) -> "TokenChunk":
        """Returns the chunk followed by the action tokens [A]."""
        count = len(tokens)
        return TokenChunk(
            token=np.concatenate([self.token, tokens]),
            kind=np.concatenate([self.kind, np.full(count, kind)]),
            local_position=np.concatenate([self.local_position, np.arange(count)]),
            step=self.step,
            patches=self.patches,
            patch_positions=self.patch_positions,
            tensors=self.tensors,
        )


def make_inputs(chunks: Sequence[list[TokenChunk]], device: torch.device) -> tuple[ModelInputs, Tensor]:
    """Makes model inputs from the chunks of b slots.

    Returns:
        Inputs [b, n], padded on the right, and the number of tokens of each slot, int64 [b].
    """
    counts = [total_length(slot) for slot in chunks]
    shape = (len(chunks), max(counts))
    arrays = {name: np.zeros(shape, bool if name == "loss_mask" else np.int64) for name in PER_TOKEN}
    for row, (slot, end) in enumerate(zip(chunks, counts, strict=True)):
        for name in ("token", "kind", "local_position"):
            arrays[name][row, :end] = np.concatenate([getattr(chunk, name) for chunk in slot])
        arrays["step"][row, :end] = np.repeat([chunk.step for chunk in slot], [len(chunk) for chunk in slot])
    flat = [chunk for slot in chunks for chunk in slot]
    tensors = [chunk.tensors for chunk in flat if len(chunk.tensors)]
    inputs = ModelInputs.from_arrays(
        arrays,
        patches=np.concatenate([chunk.patches for chunk in flat]),
        patch_positions=np.concatenate([chunk.patch_positions for chunk in flat]),
        tensors=np.concatenate(tensors).astype(np.float32, copy=False) if tensors else np.zeros((0, 0), np.float32),
        device=device,
    )
    return inputs, torch.tensor(counts, device=device)


def total_length(chunks: Sequence[TokenChunk]) -> int:
    """Returns the number of tokens of all chunks."""
    return sum(map(len, chunks))
