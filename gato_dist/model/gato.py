"""Gato: one transformer over the tokens of every task."""

import torch
from torch import Tensor, nn

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.cache import KeyValueCache
from gato_dist.model.embed import SequenceEmbedding
from gato_dist.model.inputs import Inputs
from gato_dist.model.transformer import Transformer, Wanted, attention_mask, hidden_actions


class Gato(nn.Module):
    """Embedding, transformer and output layer.

    vocabulary_size: ids of the run's vocabulary; tensor_size: width D of compact tensors, 0 where there are none.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int, tensor_size: int) -> None:
        super().__init__()
        self.config = config
        self.embedding = SequenceEmbedding(config, vocabulary_size, tensor_size)
        self.transformer = Transformer(config)
        if not config.shared_embedding:
            self.head = nn.Linear(config.width, vocabulary_size, bias=False)
            nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, inputs: Inputs, wanted: Wanted | None = None) -> Tensor:
        """Hidden states [B, L, W]; `logits` of one at position i are those of token i + 1.

        wanted: then only their hidden states [M, W], row after row, which cost less.
        """
        hidden = hidden_actions(inputs.kind, inputs.local_position, self.config, self.training)
        plain = inputs.one_segment and hidden is None
        mask = None if plain else attention_mask(inputs.segment, inputs.step, hidden)
        x = self._embed(inputs, inputs.position)
        return self.transformer(x, inputs.position, mask, wanted)

    def extend(self, inputs: Inputs, count: Tensor, slots: Tensor, cache: KeyValueCache) -> Tensor:
        """Reads `count` [b] more tokens of `slots` [b] into the cache; hidden states [b, W] of the last of each.

        inputs: right-padded to [b, n]; their segment and position are not looked at.
        """
        reading = cache.begin(slots, inputs.kind, inputs.step, count)
        last = Wanted((count - 1)[:, None], torch.arange(len(count), device=count.device))
        x = self._embed(inputs, reading.position)
        return self.transformer(x, reading.position, reading.mask, last, reading)

    def logits(self, hidden: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Logits [..., last − first] of the token ids first … last − 1 (all by default) from hidden states [..., W]."""
        table = self.embedding.tokens.weight if self.config.shared_embedding else self.head.weight
        return hidden @ table[first:last].T

    def _embed(self, inputs: Inputs, position: Tensor) -> Tensor:
        return self.embedding(inputs, position)
