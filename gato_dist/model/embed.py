"""Embeds each position of a sequence by its kind (paper, sections 2.2, C.2 and C.3).

Shapes: B rows, L positions, W width, P patches and N tensors of all rows together, D tensor size.
"""

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.inputs import Inputs
from gato_dist.sequence import Kind
from gato_dist.tokens.images import PATCH, POSITION_BINS
from gato_dist.tokens.layout import GRID_VALUES

STEM = 4
GROUPS = 32


class PatchEmbedding(nn.Module):
    """One pre-activation residual block turns a 16×16 patch into a vector; its place in the image is added.

    The paper gives the block (ResNet v2, GroupNorm with 32 groups, GELU) but not its stem: here a convolution of
    4×4 pixels a step, which keeps the block at 4×4 places and its cost near that of the transformer.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        groups = gcd(GROUPS, channels)
        self.stem = nn.Conv2d(3, channels, STEM, stride=STEM)
        self.block = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.GELU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels), nn.GELU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip
        self.out = nn.Linear(channels * (PATCH // STEM) ** 2, width)
        self.rows = nn.Embedding(POSITION_BINS, width)
        self.columns = nn.Embedding(POSITION_BINS, width)

    def forward(self, patches: Tensor, places: Tensor) -> Tensor:
        """patches uint8 [P, 16, 16, 3], places uint8 [P, 2, 2] (row, column) × (first, last bin) → [P, W]."""
        # Pixels to [−1, 1], divided by √16 (paper, section 2.1).
        pixels = (patches.permute(0, 3, 1, 2).to(self.stem.weight.dtype) / 127.5 - 1.0) / PATCH**0.5
        x = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        vector = self.out((x + self.block(x)).flatten(1))
        first, last = places.long().unbind(-1)
        if self.training:
            draw = torch.rand(first.shape, device=first.device)
            bins = first + (draw * (last - first + 1)).long()
        else:
            bins = (first + last + 1) // 2
        return vector + self.rows(bins[:, 0]) + self.columns(bins[:, 1])


class TensorEmbedding(nn.Module):
    """One vector for a whole tensor, whatever its task and length: the `compact` encoding.

    Its place inside the step enters before the non-linearity, so that equal numbers of different parts differ.
    """

    def __init__(self, width: int, tensor_size: int, places: int) -> None:
        super().__init__()
        self.numbers = nn.Linear(tensor_size, 2 * width)
        # A row for each value at each index: what a linear layer on the one-hot grid would learn, without the zeros.
        self.values = nn.EmbeddingBag(tensor_size * GRID_VALUES, 2 * width, mode="sum")
        nn.init.normal_(self.values.weight, std=tensor_size**-0.5)
        self.place = nn.Embedding(places, 2 * width)
        self.out = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width))
        self._row: Tensor
        self.register_buffer("_row", torch.arange(tensor_size) * GRID_VALUES, persistent=False)

    def forward(self, tensors: Tensor, numeric: Tensor, grid: Tensor, place: Tensor) -> Tensor:
        """tensors float32 [N, D], numeric and grid int64: which are which, place int64 [N] → [N, W]."""
        hidden = self.place(place)
        hidden = hidden.index_add(0, numeric, self.numbers(tensors[numeric]).to(hidden.dtype))
        indices = tensors[grid].long() + self._row
        hidden = hidden.index_add(0, grid, self.values(indices).to(hidden.dtype))
        return self.out(hidden)


class SequenceEmbedding(nn.Module):
    """Token lookup, patches or tensors by kind, plus the position inside the time step."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, tensor_size: int) -> None:
        super().__init__()
        width = config.width
        self.action_positions = config.action_positions
        self.tokens = _table(vocabulary_size, width)
        self.local = _table(config.local_positions, width)
        action_places = {"none": 0, "shared": 1, "index": config.local_positions}[config.action_positions]
        self.actions = _table(action_places, width) if action_places else None
        self.positions = _table(config.max_positions, width) if config.positions == "learned" else None
        self.patches = PatchEmbedding(width, config.patch_channels)
        self.tensors = TensorEmbedding(width, tensor_size, config.local_positions) if tensor_size else None

    def forward(self, inputs: Inputs, position: Tensor) -> Tensor:
        """[B, L, W] of inputs; position [B, L]: index inside the segment."""
        kind, local_position = inputs.kind.long(), inputs.local_position.long()
        x = self.tokens(inputs.token.long())
        at, vectors = [], []
        if len(inputs.patches):
            at.append(inputs.patch_at)
            vectors.append(self.patches(inputs.patches, inputs.places))
        if len(inputs.tensors) and self.tensors is not None:
            at.append(inputs.tensor_at)
            place = F.pad(local_position.flatten(), (0, 1))[inputs.tensor_at]
            vectors.append(self.tensors(inputs.tensors, inputs.numeric, inputs.grid, place))
        if vectors:
            x = _place(x, torch.cat(at), torch.cat([vector.to(x.dtype) for vector in vectors]))
        is_action = (kind >= Kind.ACTION).unsqueeze(-1)
        x = x + self.local(local_position) * ~is_action
        if self.actions is not None:
            index = local_position * is_action[..., 0] if self.action_positions == "index" else kind * 0
            x = x + self.actions(index) * is_action
        if self.positions is not None:
            x = x + self.positions(position.long())
        return x


def _table(rows: int, width: int) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=0.02)
    return table


def _place(x: Tensor, at: Tensor, vectors: Tensor) -> Tensor:
    """Puts vectors [n, W] at the positions `at` [n] among the B·L of x [B, L, W]; those for B·L go nowhere."""
    room = torch.cat([x.flatten(0, 1), x.new_zeros(1, x.shape[-1])])
    return room.index_copy(0, at, vectors)[:-1].view(x.shape)
