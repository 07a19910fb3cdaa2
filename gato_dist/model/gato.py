"""Gato: one transformer over the tokens of every task."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gato_dist.config import ModelConfig
from gato_dist.model.embed import SequenceEmbedding
from gato_dist.model.transformer import Cache, Transformer, attention_mask
from gato_dist.sequence import Batch


@dataclass
class Inputs:
    """A `Batch` as tensors on one device; the fields and shapes are those of `Batch`."""

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

    @classmethod
    def of(cls, batch: Batch, device: torch.device | str = "cpu") -> "Inputs":
        def move(array: np.ndarray) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)

        return cls(**{name: move(getattr(batch, name)) for name in cls.__dataclass_fields__})


class Gato(nn.Module):
    """Embedding, transformer and output head.

    vocabulary_size: ids of the run's vocabulary; tensor_size: width D of compact tensors, 0 where there are none.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int, tensor_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = SequenceEmbedding(config, vocabulary_size, tensor_size)
        self.transformer = Transformer(config)
        self.head = nn.Linear(config.width, vocabulary_size, bias=False)
        nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, inputs: Inputs) -> Tensor:
        """Hidden states [B, L, W]; `head` of one at position i gives the logits of token i + 1."""
        hidden, _ = self.prefill(inputs)
        return hidden

    def prefill(self, inputs: Inputs) -> tuple[Tensor, Cache]:
        """Hidden states [B, L, W] and the keys and values of every position, for `extend`."""
        mask = attention_mask(inputs.segment, inputs.step, inputs.kind, self.config.past_actions)
        x = self.embedding(
            inputs.token, inputs.kind, inputs.local_position, inputs.patches, inputs.places, inputs.tensors
        )
        return self.transformer(x, inputs.position, mask)

    def extend(
        self, token: Tensor, kind: Tensor, local_position: Tensor, position: Tensor, mask: Tensor, cache: Cache
    ) -> tuple[Tensor, Cache]:
        """One more token a row: all [B, 1], mask bool [B, 1, 1, S + 1] → hidden [B, 1, W], longer cache."""
        none = token.new_zeros(0)
        x = self.embedding(token, kind, local_position, none, none, none)
        return self.transformer(x, position, mask, cache)

    @property
    def parameters_total(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
