"""Gato: one transformer over the tokens of all tasks (Reed et al., 2022, arXiv 2205.06175)."""

import torch
from torch import Tensor, nn

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.cache import KeyValueCache
from gato_dist.model.embed import SequenceEmbedding
from gato_dist.model.inputs import ModelInputs, OutputPositions
from gato_dist.model.transformer import Transformer, attention_mask, hidden_actions


class Gato(nn.Module):
    """Embedding, transformer and output layer.

    Shapes: B sequences, L tokens, W width.
    """

    def __init__(self, config: ModelConfig, vocabulary_size: int, tensor_size: int) -> None:
        """Makes a model with random weights, drawn from torch's global generator.

        Args:
            config: sizes and options.
            vocabulary_size: number of token ids of the run.
            tensor_size: width of compact tensors; 0 if there are none.
        """
        super().__init__()
        self.config = config
        self.embedding = SequenceEmbedding(config, vocabulary_size, tensor_size)
        self.transformer = Transformer(config)
        if not config.shared_embedding:
            self.head = nn.Linear(config.width, vocabulary_size, bias=False)
            nn.init.normal_(self.head.weight, std=0.02)

    def forward(self, inputs: ModelInputs, outputs: OutputPositions | None = None) -> Tensor:
        """Computes hidden states. `logits` of the state at position i predict token i + 1.

        Args:
            inputs: B sequences of L tokens.
            outputs: positions whose states are needed; None: all.

        Returns:
            [B, L, W], or [M, W] for the M positions of `outputs`, which takes less time.
        """
        hidden = hidden_actions(inputs.kind, inputs.local_position, self.config, self.training)
        causal_only = inputs.one_segment and hidden is None
        mask = None if causal_only else attention_mask(inputs.segment, inputs.step, hidden)
        x = self.embedding(inputs, inputs.position)
        states: Tensor = self.transformer(x, inputs.position, mask, outputs)
        return states

    def extend(self, inputs: ModelInputs, count: Tensor, slots: Tensor, cache: KeyValueCache) -> Tensor:
        """Reads new tokens into a key/value cache.

        Args:
            inputs: [b, n] tokens, padded on the right. Their segment and position are ignored.
            count: int64 [b], number of new tokens of each slot.
            slots: int64 [b], indices of the cache's slots.
            cache: keys and values of earlier tokens.

        Returns:
            [b, W], hidden state of the last new token of each slot.

        Raises:
            IndexError: if a slot has no room for the tokens.
        """
        new_tokens = cache.begin(slots, inputs.kind, inputs.step, count)
        last = OutputPositions((count - 1)[:, None], torch.arange(len(count), device=count.device))
        x = self.embedding(inputs, new_tokens.position)
        states: Tensor = self.transformer(x, new_tokens.position, new_tokens.mask, last, new_tokens)
        return states

    def logits(self, hidden: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """Computes logits of the token ids first … last − 1.

        Args:
            hidden: [..., W].
            first, last: range of token ids; all by default.

        Returns:
            [..., last − first].
        """
        table = self.embedding.tokens.weight if self.config.shared_embedding else self.head.weight
        return hidden @ table[first:last].T
