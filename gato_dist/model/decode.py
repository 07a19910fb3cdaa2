"""Chooses actions token by token with a key/value cache.

Each token is read once, and once more if its window slides. Shapes: b slots, W width, A tokens of an action.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gato_dist.model.cache import KeyValueCache
from gato_dist.model.gato import Gato
from gato_dist.model.token_chunks import TokenChunk, make_inputs, total_length
from gato_dist.sequence import Kind
from gato_dist.specs import Modality
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.steps import StepTokens


@dataclass(frozen=True)
class DecodingOptions:
    """How actions are chosen.

    Attributes:
        length: maximal number of tokens of a window.
        temperature: 0 chooses the likeliest token; otherwise each slot samples with its own random generator.
        valid_only: whether to choose only among the task's action tokens. Otherwise any token may be chosen, and is
            then replaced by the nearest valid one.
    """

    length: int
    temperature: float = 0.0
    valid_only: bool = True


@dataclass
class _Slot:
    """One environment's window.

    Attributes:
        tokenizer: of the environment's task.
        window_steps: maximal steps of the window; 0: as many as fit.
        random: generator for sampling.
        prompt: chunks that begin every window.
        steps: chunks of the window, one for each time step, after the prompt.
        unread: chunks of the window that are not yet in the cache.
        count: time steps since the last reset.
    """

    tokenizer: TaskTokenizer
    window_steps: int
    random: np.random.Generator
    prompt: list[TokenChunk] = field(default_factory=list)
    steps: list[TokenChunk] = field(default_factory=list)
    unread: list[TokenChunk] = field(default_factory=list)
    count: int = 0

    @property
    def action_kind(self) -> Kind:
        discrete = self.tokenizer.spec.action.modality is Modality.DISCRETE
        return Kind.ACTION if discrete else Kind.ACTION_CONTINUOUS

    @property
    def action_size(self) -> int:
        return self.tokenizer.spec.action.size


class ActionDecoder:
    """Chooses actions in N slots. A slot is an environment with its task, its window and its random numbers.

    A window holds the slot's prompt, if any, and then whole time steps. When the next step with its action does not
    fit, the window slides: the oldest steps are dropped until at most half of the limit is used, and the rest is read
    again. So the model always sees a window as in training, and its outputs equal those of a plain forward pass over
    this window.
    """

    def __init__(
        self,
        model: Gato,
        *,
        tokenizers: Sequence[TaskTokenizer],
        window_steps: Sequence[int],
        seeds: Sequence[int],
        options: DecodingOptions,
    ) -> None:
        """Makes a decoder with empty windows.

        Args:
            model: the model; it is switched to evaluation mode.
            tokenizers: of each slot's task.
            window_steps: maximal steps of each slot's window; 0: as many as fit into `options.length` tokens.
            seeds: seed of each slot's random generator.
            options: how actions are chosen.
        """
        self._model, self._options = model.eval(), options
        self._device = next(model.parameters()).device
        slots = zip(tokenizers, window_steps, seeds, strict=True)
        self._slots = [_Slot(tokenizer, steps, np.random.default_rng(seed)) for tokenizer, steps, seed in slots]
        self._cache = KeyValueCache(model.config, len(self._slots), options.length, self._device)

    def reset(self, slots: Sequence[int]) -> None:
        """Empties the windows of these slots. Their prompts stay."""
        for index in slots:
            slot = self._slots[index]
            slot.steps, slot.unread, slot.count = [], [], 0
            self._cache.length[index] = total_length(slot.prompt)

    @torch.inference_mode()
    def prompt(self, slot: int, steps: StepTokens) -> None:
        """Sets the prompt that begins every window of a slot.

        Args:
            slot: index of the slot.
            steps: whole time steps, with actions.

        Raises:
            ValueError: if the prompt takes more than half of a window.
        """
        chunks = [TokenChunk.of_step(steps, index, -1 - index) for index in range(len(steps))]
        if not chunks:
            return
        total = total_length(chunks)
        if total > self._options.length // 2:
            raise ValueError(f"a prompt of {total} tokens is more than half of a window of {self._options.length}")
        self._slots[slot].prompt = []
        self.reset([slot])
        self._read([slot], [chunks])
        self._slots[slot].prompt = chunks

    def window(self, slot: int) -> list[NDArray[Any]]:
        """Returns the tokens of each time step in a slot's window, beginning with the prompt."""
        chosen = self._slots[slot]
        return [chunk.token for chunk in [*chosen.prompt, *chosen.steps]]

    @torch.inference_mode()
    def act(self, slots: Sequence[int], observations: Sequence[StepTokens]) -> list[NDArray[np.int64]]:
        """Chooses an action in each of these slots.

        Args:
            slots: indices of slots.
            observations: for each of these slots, one time step without its action.

        Returns:
            The action tokens of each slot, int64 [A].

        Raises:
            ValueError: if a time step does not fit into a window. The message names the task.
        """
        slid = [index for index, seen in zip(slots, observations, strict=True) if self._slide(index, seen)]
        if slid:
            self._read(slid, [self._slots[index].steps for index in slid])
        new_chunks = []
        for index, seen in zip(slots, observations, strict=True):
            slot = self._slots[index]
            chunk = TokenChunk.of_step(seen, 0, slot.count)
            new_chunks.append([*slot.unread, chunk])
            slot.steps.append(chunk)
            slot.unread, slot.count = [], slot.count + 1
        hidden = self._read(slots, new_chunks)
        actions = self._choose_all(slots, hidden)
        for index, tokens in zip(slots, actions, strict=True):
            slot = self._slots[index]
            slot.steps[-1] = slot.steps[-1].with_action(tokens, slot.action_kind)
            last = len(tokens) - 1
            slot.unread = [TokenChunk.of_token(tokens[last], slot.action_kind, last, slot.count - 1)]
        return actions

    def _slide(self, index: int, seen: StepTokens) -> bool:
        """Drops old steps if the next step does not fit; returns whether remaining steps must be read again."""
        slot = self._slots[index]
        room = self._options.length - total_length(slot.prompt)
        needed = int(seen.lengths[0]) + slot.action_size
        if needed > room:
            raise ValueError(f"{slot.tokenizer.spec.name}: a step of {needed} tokens does not fit a window of {room}")
        full = bool(slot.window_steps) and len(slot.steps) >= slot.window_steps
        if not full and total_length(slot.steps) + needed <= room:
            return False
        max_kept = slot.window_steps // 2 if slot.window_steps else len(slot.steps)
        kept: list[TokenChunk] = []
        for chunk in reversed(slot.steps):
            used = total_length(kept) + len(chunk)
            if len(kept) + 1 > max_kept or used > min(room // 2, room - needed):
                break
            kept.insert(0, chunk)
        slot.steps, slot.unread = kept, []
        self._cache.length[index] = self._options.length - room
        return bool(kept)

    def _choose_all(self, slots: Sequence[int], hidden: Tensor) -> list[NDArray[np.int64]]:
        """Chooses the action tokens of each slot, one element after another, from hidden states [b, W]."""
        actions: list[list[int]] = [[] for _ in slots]
        active = list(range(len(slots)))  # indices into `slots` whose action has further elements
        element = 0
        while True:
            acting = [self._slots[slots[i]] for i in active]
            for i, token in zip(active, self._choose(acting, hidden, element), strict=True):
                actions[i].append(token)
            active = [i for i in active if self._slots[slots[i]].action_size > element + 1]
            if not active:
                return [np.array(tokens, np.int64) for tokens in actions]
            chunks = []
            for i in active:
                slot = self._slots[slots[i]]
                chunks.append([TokenChunk.of_token(actions[i][-1], slot.action_kind, element, slot.count - 1)])
            hidden = self._read([slots[i] for i in active], chunks)
            element += 1

    def _choose(self, slots: Sequence[_Slot], hidden: Tensor, element: int) -> list[int]:
        """Chooses one action token for each slot. Slots with the same valid tokens are computed together."""
        ranges = [slot.tokenizer.action_ranges[element] for slot in slots]
        chosen = [0] * len(slots)
        for first, last in dict.fromkeys(ranges):
            same = [i for i, each in enumerate(ranges) if each == (first, last)]
            start, end = (first, last) if self._options.valid_only else (0, None)
            logits = self._model.logits(hidden[same], start, end)
            sampled = sample_tokens(logits, self._options.temperature, [slots[i].random for i in same])
            for i, token in zip(same, sampled, strict=True):
                chosen[i] = min(max(start + token, first), last - 1)
        return chosen

    def _read(self, slots: Sequence[int], chunks: Sequence[list[TokenChunk]]) -> Tensor:
        """Reads chunks into the slots' caches; returns the hidden state of the last token of each slot, [b, W]."""
        inputs, count = make_inputs(chunks, self._device)
        index = torch.tensor(list(slots), device=self._device)
        return self._model.extend(inputs, count, index, self._cache)


def sample_tokens(logits: Tensor, temperature: float, randoms: Sequence[np.random.Generator]) -> list[int]:
    """Chooses one index for each row of logits.

    Args:
        logits: [b, n].
        temperature: 0 chooses the largest logit.
        randoms: generator of each row.
    """
    indices: list[int]
    if temperature == 0:
        indices = logits.argmax(-1).tolist()
        return indices
    shares = torch.softmax(logits.double() / temperature, -1).cumsum(-1)
    uniform = torch.tensor([random.random() for random in randoms], dtype=shares.dtype, device=shares.device)
    tokens = torch.searchsorted(shares, (uniform * shares[:, -1])[:, None], right=True)[:, 0]
    indices = tokens.clamp(max=logits.shape[-1] - 1).tolist()
    return indices
