"""A pre-norm decoder with rotary positions and a key/value cache (paper, section C.1).

Shapes: B sequences, L query positions, S key positions, W width, H heads, K key size; m output positions of a sequence.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.cache import CachePass
from gato_dist.model.inputs import OutputPositions
from gato_dist.sequence import Kind

# Stores keys and values [B, H, n, K] of new tokens; returns those of all tokens so far, [B, H, S, K].
Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

ROTARY_BASE = 10_000.0


def rotary_table(position: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """Returns cos and sin, [B, 1, L, K/2], of the rotary angles of positions [B, L] (Su et al., 2021, equation 34)."""
    frequency = ROTARY_BASE ** (-torch.arange(0, key_size, 2, device=position.device).float() / key_size)
    angle = position.float()[:, None, :, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Rotates the pairs (x[i], x[i + K/2]) of x [B, H, L, K] by the angles of their positions."""
    cos, sin = table
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def attention_mask(segment: Tensor, step: Tensor, hidden_actions: Tensor | None) -> Tensor:
    """Returns which positions attend to which.

    A position attends to itself and to earlier positions of its segment. It attends to hidden actions only in its own
    time step: a policy that reads its last action tends to copy it (the copycat problem of imitation).

    Args:
        segment: [B, L], number of each position's segment.
        step: [B, L], time step of each position.
        hidden_actions: bool [B, L], action tokens that later steps do not attend to; None: there are none.

    Returns:
        bool [B, 1, L, L], true if query i attends to key j.
    """
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    mask = (segment[:, :, None] == segment[:, None, :]) & causal
    if hidden_actions is not None:
        past = step[:, None, :] != step[:, :, None]
        mask &= ~(past & hidden_actions[:, None, :])
    return mask[:, None]


def hidden_actions(kind: Tensor, local_position: Tensor, config: ModelConfig, training: bool) -> Tensor | None:
    """Returns the action tokens that later steps do not attend to.

    With `past_actions: dropped`, training hides random whole actions.

    Args:
        kind, local_position: [B, L].
        config: options of the model.
        training: whether the model is in training mode.

    Returns:
        bool [B, L]; None if all actions are visible.
    """
    is_action = kind >= Kind.ACTION
    if config.past_actions == "masked":
        return is_action
    if config.past_actions == "shown" or not training:
        return None
    draw = torch.rand(kind.shape, device=kind.device)
    first = torch.arange(kind.shape[1], device=kind.device) - local_position.long() * is_action
    return is_action & (draw.gather(1, first) < config.past_actions_drop)


def attention_bias(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Returns 0 if `mask` is true, −∞ otherwise. It is added to attention scores; computed once for all layers."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def _gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Gathers entries along `dim`. The last dimension of `index` has size 1."""
    return x.gather(dim, index.expand(*index.shape[:-1], x.shape[-1]))


class FeedForward(nn.Module):
    """Two linear layers around GELU. With `geglu`, one half of the inner units gates the other half (Shazeer, 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        inner = config.feed_forward
        self.gated = config.activation == "geglu"
        self.norm = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, inner)
        self.project = nn.Linear(inner // 2 if self.gated else inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Maps x [..., W] to [..., W]."""
        hidden = self.expand(self.norm(x))
        if self.gated:
            gate, hidden = hidden.chunk(2, dim=-1)
            hidden = F.gelu(gate) * hidden
        else:
            hidden = F.gelu(hidden)
        projected: Tensor = self.project(hidden)
        return projected


class Block(nn.Module):
    """Attention and feed-forward, each after a LayerNorm and with a residual connection."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, self.inner = config.width, config.heads * config.key_size
        self.heads, self.key_size = config.heads, config.key_size
        self.dropout, self.stochastic_depth = config.dropout, config.stochastic_depth
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * self.inner, bias=False)
        self.project = nn.Linear(self.inner, width)
        self.feed_forward = FeedForward(config)
        for layer in (self.project, self.feed_forward.project):
            nn.init.normal_(layer.weight, std=0.02 / (2 * config.layers) ** 0.5)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        x: Tensor,
        table: tuple[Tensor, Tensor],
        bias: Tensor | None,
        outputs: OutputPositions | None = None,
        extend: Extend | None = None,
    ) -> Tensor:
        """Computes the block.

        Args:
            x: [B, L, W].
            table: rotary cos and sin of the L positions.
            bias: [B, 1, L or m, S], added to attention scores; None: causal attention, which takes half the work.
            outputs: the m positions of each sequence that are queries; None: all. Keys and values are always all L.
            extend: stores keys and values in a cache.

        Returns:
            [B, L, W], or [B, m, W] for `outputs`.
        """
        batch, length, _ = x.shape
        normed = self.attention_norm(x)
        if outputs is None:
            q, k, v = self.qkv(normed).view(batch, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            table_q = table
        else:
            index = outputs.index[..., None]
            x, chosen = _gather(x, 1, index), _gather(normed, 1, index)
            q = (
                F.linear(chosen, self.qkv.weight[: self.inner])
                .view(batch, -1, self.heads, self.key_size)
                .transpose(1, 2)
            )
            kv = F.linear(normed, self.qkv.weight[self.inner :])
            k, v = kv.view(batch, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
            table_q = (_gather(table[0], 2, index[:, None]), _gather(table[1], 2, index[:, None]))
        q, k = rotate(q, table_q), rotate(k, table)
        if extend is not None:
            k, v = extend(k, v)
        drop = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=drop, is_causal=bias is None)
        x = x + self._regularise(self.project(attended.transpose(1, 2).flatten(2)))
        return x + self._regularise(self.feed_forward(x))

    def _regularise(self, branch: Tensor) -> Tensor:
        """Applies dropout and stochastic depth, which skips the sub-layer for random sequences (Huang et al., 2016)."""
        if not self.training:
            return branch
        if self.dropout:
            branch = F.dropout(branch, self.dropout)
        if self.stochastic_depth:
            keep = 1.0 - self.stochastic_depth
            branch = branch * (torch.rand(len(branch), 1, 1, device=branch.device) < keep) / keep
        return branch


class Transformer(nn.Module):
    """`config.layers` blocks and a final LayerNorm.

    Attributes:
        recompute: whether training stores only the input of each block and recomputes the rest in the backward pass.
    """

    recompute = False

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.key_size, self.rotary = config.key_size, config.positions == "rotary"
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(
        self,
        x: Tensor,
        position: Tensor,
        mask: Tensor | None,
        outputs: OutputPositions | None = None,
        cache: CachePass | None = None,
    ) -> Tensor:
        """Computes hidden states. The last block computes queries and feed-forward only for `outputs`.

        Args:
            x: [B, L, W], embedded positions.
            position: int [B, L], index of each position in its segment.
            mask: bool [B, 1, L, S], true if a query attends to a key; None: causal attention.
            outputs: the positions whose hidden states are needed; None: all.
            cache: keys and values of earlier tokens.

        Returns:
            [B, L, W], or [M, W] for the M positions of `outputs`.
        """
        table = rotary_table(position if self.rotary else torch.zeros_like(position), self.key_size)
        kind = x.device.type
        compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        bias = None if mask is None else attention_bias(mask, compute)
        for layer, block in enumerate(self.blocks):
            queries = outputs if layer == len(self.blocks) - 1 else None
            block_bias = bias if queries is None else _query_bias(queries, bias, x.shape[1], compute)
            if self.recompute and self.training:
                x = checkpoint(block, x, table, block_bias, queries, use_reentrant=False)
            else:
                x = block(x, table, block_bias, queries, None if cache is None else partial(cache.extend, layer))
        normed: Tensor = self.norm(x if outputs is None else x.flatten(0, 1)[outputs.chosen])
        return normed


def _query_bias(queries: OutputPositions, bias: Tensor | None, length: int, dtype: torch.dtype) -> Tensor:
    """Returns the bias [B, 1, m, S] of the m queries of each sequence."""
    index = queries.index[:, None, :, None]
    if bias is not None:
        return _gather(bias, 2, index)
    return attention_bias(torch.arange(length, device=index.device) <= index, dtype)
