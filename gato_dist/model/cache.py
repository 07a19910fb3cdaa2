"""A key/value cache for decoding.

Shapes: N slots (one for each environment) with room for C positions; H heads, K key size. One forward pass reads n new
tokens in each of b slots; they attend to S positions.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gato_dist.config.training_sections import ModelConfig
from gato_dist.sequence import Kind


class KeyValueCache:
    """Keys and values of the tokens that N slots have read, in memory that is allocated once.

    To forget tokens, shorten `length`: later tokens overwrite the positions beyond it.

    Attributes:
        keys, values: for each layer, [N, C + 1, H, K].
        length: int64 [N], positions in use of each slot.
        room: C, positions of a slot.
    """

    def __init__(self, config: ModelConfig, slots: int, room: int, device: torch.device | str = "cpu") -> None:
        """Makes an empty cache.

        Args:
            config: sizes of the model.
            slots: N.
            room: C.
            device: where the model is.
        """
        # The extra last column receives the padding of a pass. It is never read.
        shape = (slots, room + 1, config.heads, config.key_size)
        self.keys = [torch.zeros(shape, device=device) for _ in range(config.layers)]
        self.values = [torch.zeros(shape, device=device) for _ in range(config.layers)]
        self.length = torch.zeros(slots, dtype=torch.long, device=device)
        self.room = room
        self._is_action = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self._step = torch.zeros(shape[:2], dtype=torch.long, device=device)
        self._mask_past_actions = config.past_actions == "masked"

    def begin(self, slots: Tensor, kind: Tensor, step: Tensor, count: Tensor) -> "CachePass":
        """Reserves positions for the new tokens of one forward pass.

        Args:
            slots: int64 [b], indices of slots.
            kind: [b, n], a `Kind` for each new token, padded on the right.
            step: [b, n], time step of each new token.
            count: int64 [b], number of new tokens of each slot.

        Raises:
            IndexError: if a slot has no room for the tokens.
        """
        before = self.length[slots]
        end = int((before + count).max())
        if end > self.room:
            raise IndexError(f"the cache holds {self.room} positions for each slot, but {end} are needed")
        offset = torch.arange(kind.shape[1], device=kind.device)
        position = (before[:, None] + offset).clamp(max=self.room - 1)
        column = torch.where(offset < count[:, None], position, self.room)
        self._is_action[slots[:, None], column] = kind >= Kind.ACTION
        self._step[slots[:, None], column] = step
        self.length[slots] = before + count
        mask = torch.arange(end, device=kind.device) <= position[..., None]
        if self._mask_past_actions:
            past = self._step[slots, None, :end] != step[..., None]
            mask &= ~(past & self._is_action[slots, None, :end])
        all_slots = len(slots) == len(self.length) and bool(
            (slots == torch.arange(len(slots), device=slots.device)).all()
        )
        return CachePass(
            cache=self, slots=slots, column=column, end=end, position=position, mask=mask[:, None], all_slots=all_slots
        )


@dataclass(kw_only=True)
class CachePass:
    """One forward pass of new tokens.

    Attributes:
        cache: the cache.
        slots: int64 [b], indices of slots.
        column: int64 [b, n], where the keys and values of the new tokens are stored.
        end: S, positions in use of the longest slot.
        position: int64 [b, n], index of each new token in its slot's window.
        mask: bool [b, 1, n, S], true if the new token attends to the position.
        all_slots: whether `slots` lists all slots in order.
    """

    cache: KeyValueCache
    slots: Tensor
    column: Tensor
    end: int
    position: Tensor
    mask: Tensor
    all_slots: bool

    def extend(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Stores the keys and values of the new tokens.

        Args:
            layer: index of the layer.
            k, v: [b, H, n, K], of the new tokens.

        Returns:
            [b, H, S, K] keys and values of all positions of the slots.
        """
        stored = []
        for store, new in ((self.cache.keys[layer], k), (self.cache.values[layer], v)):
            store[self.slots[:, None], self.column] = new.transpose(1, 2)
            # All slots in order are a view; a selection would be a copy.
            selected = store[:, : self.end] if self.all_slots else store[self.slots, : self.end]
            stored.append(selected.transpose(1, 2))
        return stored[0], stored[1]
