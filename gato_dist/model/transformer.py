"""A pre-norm decoder with rotary positions and a key/value cache (paper, section C.1).

Shapes: B rows, L query positions, S key positions, W width, H heads, K key size; m positions that are wanted.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from gato_dist.config.training_sections import ModelConfig
from gato_dist.model.cache import CachePass
from gato_dist.model.inputs import Wanted
from gato_dist.sequence import Kind

# Keys and values [B, H, n, K] of new tokens → those of all that were read so far.
Extend = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

ROTARY_BASE = 10_000.0


def rotary_table(position: Tensor, key_size: int) -> tuple[Tensor, Tensor]:
    """cos, sin [B, 1, L, K/2] of the angles of positions [B, L] (Su et al., 2021, equation 34)."""
    frequency = ROTARY_BASE ** (-torch.arange(0, key_size, 2, device=position.device).float() / key_size)
    angle = position.float()[:, None, :, None] * frequency
    return angle.cos(), angle.sin()


def rotate(x: Tensor, table: tuple[Tensor, Tensor]) -> Tensor:
    """Turns pairs (x[i], x[i + K/2]) of x [B, H, L, K] by their position's angles."""
    cos, sin = table
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x.dtype)


def attention_mask(segment: Tensor, step: Tensor, hidden_actions: Tensor | None) -> Tensor:
    """Who sees whom: bool [B, 1, L, L], true where query row i may look at key column j.

    A position sees itself and what came before it in its own segment; of the actions in `hidden_actions`, bool [B, L],
    only those of its own step: a policy that reads its last action copies it (the copycat problem of imitation).
    """
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    mask = (segment[:, :, None] == segment[:, None, :]) & causal
    if hidden_actions is not None:
        past = step[:, None, :] != step[:, :, None]
        mask &= ~(past & hidden_actions[:, None, :])
    return mask[:, None]


def hidden_actions(kind: Tensor, local_position: Tensor, config: ModelConfig, training: bool) -> Tensor | None:
    """Action tokens that later steps do not see, bool [B, L] from kind and local_position [B, L]; None: all are seen.

    `dropped` hides whole actions at random while training, each with its own draw.
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
    """0 where `mask` is true, −∞ elsewhere: what attention adds, made once for all layers."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, float("-inf"))


def _gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Entries along `dim`; index has size 1 in the last dimension."""
    return x.gather(dim, index.expand(*index.shape[:-1], x.shape[-1]))


class FeedForward(nn.Module):
    """Two linear layers around GELU; with `geglu`, half of the inner numbers gate the other half (Shazeer, 2020)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        inner = config.feed_forward
        self.gated = config.activation == "geglu"
        self.norm = nn.LayerNorm(config.width)
        self.expand = nn.Linear(config.width, inner)
        self.project = nn.Linear(inner // 2 if self.gated else inner, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """x [..., W] → [..., W]."""
        hidden = self.expand(self.norm(x))
        if self.gated:
            gate, hidden = hidden.chunk(2, dim=-1)
            return self.project(F.gelu(gate) * hidden)
        return self.project(F.gelu(hidden))


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and added to the stream."""

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
        wanted: Wanted | None = None,
        extend: Extend | None = None,
    ) -> Tensor:
        """x [B, L, W] → [B, L, W], or [B, m, W]: all L are keys and values, the wanted m queries.

        bias [B, 1, L or m, S]; None: a position sees all before it, which needs no mask and half the work.
        """
        rows, length, _ = x.shape
        normed = self.attention_norm(x)
        if wanted is None:
            q, k, v = self.qkv(normed).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
            table_q = table
        else:
            index = wanted.index[..., None]
            x, chosen = _gather(x, 1, index), _gather(normed, 1, index)
            q = (
                F.linear(chosen, self.qkv.weight[: self.inner])
                .view(rows, -1, self.heads, self.key_size)
                .transpose(1, 2)
            )
            kv = F.linear(normed, self.qkv.weight[self.inner :])
            k, v = kv.view(rows, length, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
            table_q = (_gather(table[0], 2, index[:, None]), _gather(table[1], 2, index[:, None]))
        q, k = rotate(q, table_q), rotate(k, table)
        if extend is not None:
            k, v = extend(k, v)
        drop = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=drop, is_causal=bias is None)
        x = x + self._thin(self.project(seen.transpose(1, 2).flatten(2)))
        return x + self._thin(self.feed_forward(x))

    def _thin(self, branch: Tensor) -> Tensor:
        """Dropout, and stochastic depth: the sub-layer is left out for some rows (Huang et al., 2016)."""
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

    recompute: whether training keeps each block's input alone, and computes the rest of it again for the gradient.
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
        wanted: Wanted | None = None,
        cache: CachePass | None = None,
    ) -> Tensor:
        """x [B, L, W], position [B, L], mask bool [B, 1, L, S] → hidden [B, L, W], or [M, W] of the M wanted ones.

        mask None: a position sees itself and all before it. The last block computes queries and feed-forward for
        wanted positions only.
        """
        table = rotary_table(position if self.rotary else torch.zeros_like(position), self.key_size)
        kind = x.device.type
        compute = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        bias = None if mask is None else attention_bias(mask, compute)
        for layer, block in enumerate(self.blocks):
            chosen = wanted if layer == len(self.blocks) - 1 else None
            seen = bias if chosen is None else _bias_of(chosen, bias, x.shape[1], compute)
            if self.recompute and self.training:
                x = checkpoint(block, x, table, seen, chosen, use_reentrant=False)
            else:
                x = block(x, table, seen, chosen, None if cache is None else partial(cache.extend, layer))
        return self.norm(x if wanted is None else x.flatten(0, 1)[wanted.which])


def _bias_of(wanted: Wanted, bias: Tensor | None, length: int, dtype: torch.dtype) -> Tensor:
    """The rows [B, 1, m, S] of the wanted queries."""
    index = wanted.index[:, None, :, None]
    if bias is not None:
        return _gather(bias, 2, index)
    return attention_bias(torch.arange(length, device=index.device) <= index, dtype)
