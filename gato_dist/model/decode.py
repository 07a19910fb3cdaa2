"""Decodes actions with a key/value cache: a token is read once, and anew when its window slides."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gato_dist.model.cache import KeyValueCache
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import BATCH_ROWS, Inputs
from gato_dist.sequence import Kind
from gato_dist.specs import Modality
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.steps import StepTokens


@dataclass(frozen=True)
class Decoding:
    """How actions are chosen, and what of the past they are chosen by.

    length: room of a window in tokens. temperature 0 is greedy; otherwise slot i draws from its own generator.
    valid_only: choose among the task's own action tokens; else any token may win, and the nearest valid one is taken.
    """

    length: int
    temperature: float = 0.0
    valid_only: bool = True


@dataclass
class Piece:
    """Consecutive tokens of one time step, or of a text: arrays [k], and what rides beside them."""

    token: np.ndarray
    kind: np.ndarray
    local_position: np.ndarray
    step: int
    patches: np.ndarray
    places: np.ndarray
    tensors: np.ndarray

    def __len__(self) -> int:
        return len(self.token)

    def then(self, tokens: np.ndarray, kind: Kind) -> "Piece":
        """The step with its action tokens."""
        count = len(tokens)
        return Piece(
            np.concatenate([self.token, tokens]), np.concatenate([self.kind, np.full(count, kind)]),
            np.concatenate([self.local_position, np.arange(count)]), self.step,
            self.patches, self.places, self.tensors,
        )  # fmt: skip


@dataclass
class _Slot:
    """One environment's window. unread: tokens that it holds and the cache does not."""

    tokenizer: TaskTokenizer
    window_steps: int
    random: np.random.Generator
    prompt: list[Piece] = field(default_factory=list)
    steps: list[Piece] = field(default_factory=list)
    unread: list[Piece] = field(default_factory=list)
    count: int = 0

    @property
    def action_kind(self) -> Kind:
        discrete = self.tokenizer.spec.action.modality is Modality.DISCRETE
        return Kind.ACTION if discrete else Kind.ACTION_CONTINUOUS


class ActionDecoder:
    """Acts in N slots, each an environment with its own task, window, and random numbers.

    A window holds its slot's prompt, if it has one, and then whole time steps, at most `window_steps[i]` (0: as many
    as fit) and `decoding.length` tokens. When the next step, actions included, would exceed either, the oldest steps
    leave until no more than half of the limit is used, and the rest is read anew: so whatever the model sees is a
    window of the kind it was trained on, and equals a plain pass over that window.
    """

    def __init__(
        self,
        model: Gato,
        tokenizers: Sequence[TaskTokenizer],
        window_steps: Sequence[int],
        seeds: Sequence[int],
        decoding: Decoding,
    ) -> None:
        self._model, self._decoding = model.eval(), decoding
        self._device = next(model.parameters()).device
        slots = zip(tokenizers, window_steps, seeds, strict=True)
        self._slots = [_Slot(tokenizer, window, np.random.default_rng(seed)) for tokenizer, window, seed in slots]
        self._cache = KeyValueCache(model.config, len(self._slots), decoding.length, self._device)

    def reset(self, slots: Sequence[int]) -> None:
        """Forgets these slots' windows. Their prompts stay."""
        for index in slots:
            slot = self._slots[index]
            slot.steps, slot.unread, slot.count = [], [], 0
            self._cache.length[index] = sum(map(len, slot.prompt))

    @torch.inference_mode()
    def prompt(self, slot: int, steps: StepTokens) -> None:
        """Whole steps, actions included, that lead all of this slot's episodes from now on.

        Raises ValueError where they take more than half of a window.
        """
        pieces = [_piece(steps, index, -1 - index) for index in range(len(steps))]
        if not pieces:
            return
        total = sum(map(len, pieces))
        if total > self._decoding.length // 2:
            raise ValueError(f"a prompt of {total} tokens is more than half of a window of {self._decoding.length}")
        self._slots[slot].prompt = []
        self.reset([slot])
        self._read([slot], [pieces])
        self._slots[slot].prompt = pieces

    def window(self, slot: int) -> list[np.ndarray]:
        """Tokens of each step that the slot's window holds, the prompt's first."""
        chosen = self._slots[slot]
        return [piece.token for piece in [*chosen.prompt, *chosen.steps]]

    @torch.inference_mode()
    def act(self, slots: Sequence[int], observations: Sequence[StepTokens]) -> list[np.ndarray]:
        """Action tokens int64 [A] of each slot for its newest observation: one step without actions."""
        sliding = [index for index, seen in zip(slots, observations, strict=True) if self._slide(index, seen)]
        if sliding:
            self._read(sliding, [self._slots[index].steps for index in sliding])
        fresh = []
        for index, seen in zip(slots, observations, strict=True):
            slot = self._slots[index]
            piece = _piece(seen, 0, slot.count)
            fresh.append([*slot.unread, piece])
            slot.steps.append(piece)
            slot.unread, slot.count = [], slot.count + 1
        hidden = self._read(slots, fresh)
        chosen = self._choose_all(slots, hidden)
        for index, tokens in zip(slots, chosen, strict=True):
            slot = self._slots[index]
            slot.steps[-1] = slot.steps[-1].then(tokens, slot.action_kind)
            last = len(tokens) - 1
            slot.unread = [_action_piece(tokens[last], slot.action_kind, last, slot.count - 1)]
        return chosen

    def _slide(self, index: int, seen: StepTokens) -> bool:
        """Whether the window gave up steps and must be read anew from behind its prompt."""
        slot, room = self._slots[index], self._decoding.length - sum(map(len, self._slots[index].prompt))
        needed = int(seen.lengths[0]) + slot.tokenizer.spec.action.size
        if needed > room:
            raise ValueError(f"{slot.tokenizer.spec.name}: a step of {needed} tokens does not fit a window of {room}")
        full = bool(slot.window_steps) and len(slot.steps) >= slot.window_steps
        if not full and sum(map(len, slot.steps)) + needed <= room:
            return False
        most = slot.window_steps // 2 if slot.window_steps else len(slot.steps)
        kept: list[Piece] = []
        for piece in reversed(slot.steps):
            used = sum(map(len, kept)) + len(piece)
            if len(kept) + 1 > most or used > min(room // 2, room - needed):
                break
            kept.insert(0, piece)
        slot.steps, slot.unread = kept, []
        self._cache.length[index] = self._decoding.length - room
        return bool(kept)

    def _choose_all(self, slots: Sequence[int], hidden: Tensor) -> list[np.ndarray]:
        """Reads each action token before it chooses the next."""
        sizes = [self._slots[index].tokenizer.spec.action.size for index in slots]
        chosen: list[list[int]] = [[] for _ in slots]
        going = list(range(len(slots)))
        for element in range(max(sizes)):
            acting = [self._slots[slots[place]] for place in going]
            for place, token in zip(going, self._choose(acting, hidden, element), strict=True):
                chosen[place].append(token)
            going = [place for place in going if sizes[place] > element + 1]
            if not going:
                break
            pieces = []
            for place in going:
                slot = self._slots[slots[place]]
                pieces.append([_action_piece(chosen[place][-1], slot.action_kind, element, slot.count - 1)])
            hidden = self._read([slots[place] for place in going], pieces)
        return [np.array(tokens, np.int64) for tokens in chosen]

    def _choose(self, slots: Sequence[_Slot], hidden: Tensor, element: int) -> list[int]:
        """A token of each slot's action from hidden states [b, W]; slots of one task are looked at together."""
        ranges = [slot.tokenizer.action_ranges[element] for slot in slots]
        chosen = [0] * len(slots)
        for first, last in dict.fromkeys(ranges):
            rows = [row for row, each in enumerate(ranges) if each == (first, last)]
            start, end = (first, last) if self._decoding.valid_only else (0, None)
            logits = self._model.logits(hidden[rows], start, end)
            drawn = draw(logits, self._decoding.temperature, [slots[row].random for row in rows])
            for row, token in zip(rows, drawn, strict=True):
                chosen[row] = min(max(start + token, first), last - 1)
        return chosen

    def _read(self, slots: Sequence[int], pieces: Sequence[list[Piece]]) -> Tensor:
        """Reads these pieces into the slots' caches; hidden states [b, W] of the last token of each."""
        inputs, count = make_inputs(pieces, self._device)
        index = torch.tensor(list(slots), device=self._device)
        return self._model.extend(inputs, count, index, self._cache)


def draw(logits: Tensor, temperature: float, randoms: Sequence[np.random.Generator]) -> list[int]:
    """An index into each row of `logits` [b, n]: the largest at temperature 0, else drawn by its own generator."""
    if temperature == 0:
        return logits.argmax(-1).tolist()
    shares = torch.softmax(logits.double() / temperature, -1).cumsum(-1)
    uniform = torch.tensor([random.random() for random in randoms], dtype=shares.dtype, device=shares.device)
    tokens = torch.searchsorted(shares, (uniform * shares[:, -1])[:, None], right=True)[:, 0]
    return tokens.clamp(max=logits.shape[-1] - 1).tolist()


def _piece(steps: StepTokens, index: int, number: int) -> Piece:
    valid = steps.valid[index]
    return Piece(
        steps.token[index][valid], steps.kind[index][valid], steps.local_position[index][valid], number,
        steps.patches[index], steps.places, steps.tensors[index],
    )  # fmt: skip


def _action_piece(token: int, kind: Kind, element: int, number: int) -> Piece:
    none = np.zeros(0, np.uint8)
    return Piece(
        np.array([token]), np.array([kind]), np.array([element]), number,
        none.reshape(0, 16, 16, 3), none.reshape(0, 2, 2), np.zeros((0, 0), np.float32),
    )  # fmt: skip


def make_inputs(pieces: Sequence[list[Piece]], device: torch.device) -> tuple[Inputs, Tensor]:
    """Right-padded inputs [b, n] of b lists of pieces, and their lengths [b]."""
    counts = [sum(map(len, row)) for row in pieces]
    shape = (len(pieces), max(counts))
    token, kind, local, step = (np.zeros(shape, np.int64) for _ in range(4))
    for row, (each, end) in enumerate(zip(pieces, counts, strict=True)):
        token[row, :end] = np.concatenate([piece.token for piece in each])
        kind[row, :end] = np.concatenate([piece.kind for piece in each])
        local[row, :end] = np.concatenate([piece.local_position for piece in each])
        step[row, :end] = np.repeat([piece.step for piece in each], [len(piece) for piece in each])
    riding = [piece for row in pieces for piece in row]
    none = np.zeros(shape, np.int64)
    rows = dict(zip(BATCH_ROWS, (token, kind, local, none, step, none, none.astype(bool)), strict=True))
    beside = (
        np.concatenate([piece.patches for piece in riding]), np.concatenate([piece.places for piece in riding]),
        _stack_tensors([piece.tensors for piece in riding if len(piece.tensors)]),
    )  # fmt: skip
    return Inputs.unpadded(rows, beside, device), torch.tensor(counts, device=device)


def _stack_tensors(tensors: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(tensors).astype(np.float32, copy=False) if tensors else np.zeros((0, 0), np.float32)
