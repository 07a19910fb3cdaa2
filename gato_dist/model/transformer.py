"""A pre-norm decoder with rotary positions and a key/value cache.

Shapes: B rows, L query positions, S key positions, W width, H heads, K key size.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gato_dist.config import ModelConfig
from gato_dist.kinds import Kind

ROTARY_BASE = 10_000.0
Cache = list[tuple[Tensor, Tensor]]  # per layer: keys, values [B, H, S, K]


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


def attention_mask(segment: Tensor, step: Tensor, kind: Tensor, past_actions: str) -> Tensor:
    """Who sees whom: bool [B, 1, L, L], true where query row i may look at key column j.

    A position sees itself and what came before it in its own segment. With `past_actions="masked"` it does not see
    the actions of earlier steps: a policy that reads its last action copies it (the copycat problem of imitation).
    """
    length = segment.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segment.device).tril()
    mask = (segment[:, :, None] == segment[:, None, :]) & causal
    if past_actions == "masked":
        past = step[:, None, :] != step[:, :, None]
        mask &= ~(past & (kind >= Kind.ACTION)[:, None, :])
    return mask[:, None]


class Block(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, inner = config.width, config.heads * config.key_size
        self.heads, self.dropout = config.heads, config.dropout
        self.attention_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * inner, bias=False)
        self.project = nn.Linear(inner, width)
        out = nn.Linear(config.feed_forward, width)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, config.feed_forward), nn.GELU(), out, nn.Dropout(config.dropout)
        )
        for layer in (self.project, out):
            nn.init.normal_(layer.weight, std=0.02 / (2 * config.layers) ** 0.5)
            nn.init.zeros_(layer.bias)

    def forward(
        self, x: Tensor, table: tuple[Tensor, Tensor], mask: Tensor, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """x [B, L, W], mask bool [B, 1, L, S], past keys and values or None → x, keys and values [B, H, S, K]."""
        rows, length, _ = x.shape
        q, k, v = self.qkv(self.attention_norm(x)).view(rows, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k = rotate(q, table), rotate(k, table)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        drop = self.dropout if self.training else 0.0
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=drop)
        x = x + F.dropout(self.project(seen.transpose(1, 2).reshape(rows, length, -1)), drop)
        return x + self.feed_forward(x), (k, v)


class Transformer(nn.Module):
    """`config.layers` blocks and a final LayerNorm."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.key_size = config.key_size
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """x [B, L, W], position [B, L], mask bool [B, 1, L, S] → hidden [B, L, W] and the cache of all S positions."""
        table = rotary_table(position, self.key_size)
        grown: Cache = []
        for index, block in enumerate(self.blocks):
            x, entry = block(x, table, mask, cache[index] if cache else None)
            grown.append(entry)
        return self.norm(x), grown
