"""Embeds each position of a sequence by its kind (paper, sections 2.2, C.2 and C.3).

Shapes: B sequences, L tokens, W width; P patches and N compact tensors of width D in all sequences together.
"""

from math import gcd

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.inputs import ModelInputs
from gato_dist.sequence import Kind
from gato_dist.tokens.patches import PATCH, POSITION_BINS
from gato_dist.tokens.step_size import GRID_VALUES

STEM = 4  # pixels of a side that one step of the stem's convolution covers
GROUPS = 32  # of GroupNorm


class PatchEmbedding(nn.Module):
    """Turns a 16×16 patch into a vector with one residual block, and adds embeddings of the patch's position.

    The paper specifies the block (ResNet v2, GroupNorm with 32 groups, GELU; section C.2), but not its stem. The stem
    here is a 4×4 convolution with a stride of 4. The block then works on 4×4 pixels, so that it takes about as much
    time as the transformer.
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

    def forward(self, patches: Tensor, positions: Tensor) -> Tensor:
        """Embeds patches.

        Args:
            patches: uint8 [P, 16, 16, 3].
            positions: uint8 [P, 2, 2], (row, column) × (first bin, last bin). Training draws a bin from the interval,
                evaluation takes the mean (paper, section C.3).

        Returns:
            [P, W].
        """
        # Pixels to [−1, 1], divided by √16 (paper, section 2.1).
        pixels = (patches.permute(0, 3, 1, 2).to(self.stem.weight.dtype) / 127.5 - 1.0) / PATCH**0.5
        x = self.stem(pixels.contiguous(memory_format=torch.channels_last))
        vector = self.out((x + self.block(x)).flatten(1))
        first, last = positions.long().unbind(-1)
        if self.training:
            draw = torch.rand(first.shape, device=first.device)
            bins = first + (draw * (last - first + 1)).long()
        else:
            bins = (first + last + 1) // 2
        embedded: Tensor = vector + self.rows(bins[:, 0]) + self.columns(bins[:, 1])
        return embedded


class TensorEmbedding(nn.Module):
    """Turns a whole compact tensor into one vector, with the same weights for all tasks and sizes.

    The local position is added before the non-linearity, so that equal numbers of different parts are told apart.
    """

    def __init__(self, width: int, tensor_size: int, local_positions: int) -> None:
        super().__init__()
        self.numbers = nn.Linear(tensor_size, 2 * width)
        # One vector for each value at each index. It equals a linear layer on the one-hot encoding of the grid.
        self.values = nn.EmbeddingBag(tensor_size * GRID_VALUES, 2 * width, mode="sum")
        nn.init.normal_(self.values.weight, std=tensor_size**-0.5)
        self.place = nn.Embedding(local_positions, 2 * width)
        self.out = nn.Sequential(nn.GELU(), nn.Linear(2 * width, width))
        self._row: Tensor  # first vector of each index in `values`
        self.register_buffer("_row", torch.arange(tensor_size) * GRID_VALUES, persistent=False)

    def forward(self, tensors: Tensor, numeric: Tensor, grid: Tensor, local_position: Tensor) -> Tensor:
        """Embeds compact tensors.

        Args:
            tensors: float32 [N, D].
            numeric, grid: int64, indices of the tensors that hold numbers and of those that hold a grid's values.
            local_position: int64 [N].

        Returns:
            [N, W].
        """
        hidden = self.place(local_position)
        hidden = hidden.index_add(0, numeric, self.numbers(tensors[numeric]).to(hidden.dtype))
        indices = tensors[grid].long() + self._row
        hidden = hidden.index_add(0, grid, self.values(indices).to(hidden.dtype))
        embedded: Tensor = self.out(hidden)
        return embedded


class SequenceEmbedding(nn.Module):
    """Embeds tokens, patches and tensors by their kind, and adds the local position in the time step."""

    def __init__(self, config: ModelConfig, vocabulary_size: int, tensor_size: int) -> None:
        super().__init__()
        width = config.width
        self.action_positions = config.action_positions
        self.tokens = _table(vocabulary_size, width)
        self.local = _table(config.local_positions, width)
        action_vectors = {"none": 0, "shared": 1, "index": config.local_positions}[config.action_positions]
        self.actions = _table(action_vectors, width) if action_vectors else None
        self.positions = _table(config.max_positions, width) if config.positions == "learned" else None
        self.patches = PatchEmbedding(width, config.patch_channels)
        self.tensors = TensorEmbedding(width, tensor_size, config.local_positions) if tensor_size else None

    def forward(self, inputs: ModelInputs, position: Tensor) -> Tensor:
        """Embeds all positions.

        Args:
            inputs: B sequences of L tokens.
            position: int [B, L], index in the segment; used only by learned positions.

        Returns:
            [B, L, W].
        """
        kind, local_position = inputs.kind.long(), inputs.local_position.long()
        x = self.tokens(inputs.token.long())
        at, vectors = [], []
        if len(inputs.patches):
            at.append(inputs.patch_at)
            vectors.append(self.patches(inputs.patches, inputs.patch_positions))
        if len(inputs.tensors) and self.tensors is not None:
            at.append(inputs.tensor_at)
            tensor_position = F.pad(local_position.flatten(), (0, 1))[inputs.tensor_at]
            vectors.append(self.tensors(inputs.tensors, inputs.numeric, inputs.grid, tensor_position))
        if vectors:
            x = _insert(x, torch.cat(at), torch.cat([vector.to(x.dtype) for vector in vectors]))
        is_action = (kind >= Kind.ACTION).unsqueeze(-1)
        x = x + self.local(local_position) * ~is_action
        if self.actions is not None:
            index = local_position * is_action[..., 0] if self.action_positions == "index" else kind * 0
            x = x + self.actions(index) * is_action
        if self.positions is not None:
            x = x + self.positions(position.long())
        embedded: Tensor = x
        return embedded


def _table(rows: int, width: int) -> nn.Embedding:
    table = nn.Embedding(rows, width)
    nn.init.normal_(table.weight, std=0.02)
    return table


def _insert(x: Tensor, at: Tensor, vectors: Tensor) -> Tensor:
    """Replaces the positions `at` [n] among the B·L positions of x [B, L, W] by vectors [n, W]; B·L drops a vector."""
    room = torch.cat([x.flatten(0, 1), x.new_zeros(1, x.shape[-1])])
    return room.index_copy(0, at, vectors)[:-1].view(x.shape)
