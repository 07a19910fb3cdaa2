"""Keys and values of what a decoder has already read, in memory that is set aside once.

Shapes: N slots (one per environment), C positions of room, H heads, K key size; b slots and n new tokens of a pass.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gato_dist.config.training_sections import ModelConfig
from gato_dist.sequence import Kind


class KeyValueCache:
    """Room for C positions of N slots; slot i holds its first `length[i]`, in the order in which they were read.

    Forgetting is shortening: what lies beyond a slot's length is overwritten before it is seen.
    """

    def __init__(self, config: ModelConfig, slots: int, room: int, device: torch.device | str = "cpu") -> None:
        # The column after the last takes what pads a pass, and is never seen.
        shape = (slots, room + 1, config.heads, config.key_size)
        self.keys = [torch.zeros(shape, device=device) for _ in range(config.layers)]
        self.values = [torch.zeros(shape, device=device) for _ in range(config.layers)]
        self.length = torch.zeros(slots, dtype=torch.long, device=device)
        self.room = room
        self._is_action = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self._step = torch.zeros(shape[:2], dtype=torch.long, device=device)
        self._masked = config.past_actions == "masked"

    def begin(self, slots: Tensor, kind: Tensor, step: Tensor, count: Tensor) -> "CachePass":
        """Takes up `count` [b] new positions of `slots` [b], with their kind and step [b, n], right-padded.

        Raises IndexError where a slot has no room for them.
        """
        before = self.length[slots]
        if int((before + count).max()) > self.room:
            raise IndexError(f"the cache holds {self.room} positions a slot, {int((before + count).max())} were asked")
        offset = torch.arange(kind.shape[1], device=kind.device)
        position = (before[:, None] + offset).clamp(max=self.room - 1)
        column = torch.where(offset < count[:, None], position, self.room)
        self._is_action[slots[:, None], column] = kind >= Kind.ACTION
        self._step[slots[:, None], column] = step
        self.length[slots] = before + count
        end = int((before + count).max())
        mask = torch.arange(end, device=kind.device) <= position[..., None]
        if self._masked:
            past = self._step[slots, None, :end] != step[..., None]
            mask &= ~(past & self._is_action[slots, None, :end])
        every = len(slots) == len(self.length) and bool((slots == torch.arange(len(slots), device=slots.device)).all())
        return CachePass(self, slots, column, end, position, mask[:, None], every)


@dataclass
class CachePass:
    """One pass of new tokens. position [b, n]: inside the slot's window; mask bool [b, 1, n, S]: what each may see."""

    cache: KeyValueCache
    slots: Tensor
    column: Tensor
    end: int
    position: Tensor
    mask: Tensor
    every: bool

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the new tokens' keys and values [b, H, n, K]; all of the slots' [b, H, S, K]."""
        found = []
        for store, new in ((self.cache.keys[layer], k), (self.cache.values[layer], v)):
            store[self.slots[:, None], self.column] = new.transpose(1, 2)
            # Slots that are all there, in order, need no copy.
            rows = store[:, : self.end] if self.every else store[self.slots, : self.end]
            found.append(rows.transpose(1, 2))
        return found[0], found[1]
