"""Decodes actions: one pass over each environment's window, then one cached pass for each further action token."""

from collections import deque

import numpy as np
import torch
from torch import Tensor

from gato_dist.episode import Observations
from gato_dist.kinds import Kind
from gato_dist.model.gato import Gato, Inputs
from gato_dist.sequence import segment_positions
from gato_dist.specs import Modality
from gato_dist.tokens.layout import StepTokens, TaskTokenizer


class ActionDecoder:
    """Acts in N environments of one task with a window of the last steps.

    window_steps: time steps that the window shows, the present one included. temperature 0 is greedy; otherwise
    environment i draws from its own generator, seeded with `seeds[i]`, so that a rollout reproduces from its seed.
    """

    def __init__(
        self,
        model: Gato,
        tokenizer: TaskTokenizer,
        window_steps: int,
        temperature: float,
        seeds: list[int],
    ) -> None:
        self._model = model.eval()
        self._tokenizer = tokenizer
        self._temperature = temperature
        self._generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        self._windows: list[deque[StepTokens]] = [deque(maxlen=window_steps) for _ in seeds]

    def reset(self, env_ids: np.ndarray) -> None:
        """Forgets the windows of these environments."""
        for index in env_ids:
            self._windows[index].clear()

    @torch.inference_mode()
    def act(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """Actions [N, *shape] for N observations; rows that are not active are zeros."""
        rows = np.flatnonzero(active)
        tokenizer = self._tokenizer
        chosen = {name: _rows(part, rows) for name, part in observations.items()}
        steps = tokenizer.encode(chosen)
        for index, row in enumerate(rows):
            self._windows[row].append(_one(steps, index))
        tokens = self._decode([self._windows[row] for row in rows], rows)
        actions = tokenizer.decode_actions(tokens)
        if self._windows[0].maxlen != 1:
            with_actions = tokenizer.encode(chosen, actions)
            for index, row in enumerate(rows):
                self._windows[row][-1] = _one(with_actions, index)
        full = np.zeros((len(active), *actions.shape[1:]), actions.dtype)
        full[rows] = actions
        return full

    def _decode(self, windows: list[deque[StepTokens]], rows: np.ndarray) -> np.ndarray:
        """Action tokens int64 [n, A] of n windows."""
        action = self._tokenizer.spec.action
        kind_id = Kind.ACTION if action.modality is Modality.DISCRETE else Kind.ACTION_CONTINUOUS
        inputs = _window_inputs(windows)
        lengths = (inputs.segment >= 0).sum(1)
        hidden, cache = self._model.prefill(inputs)
        hidden = hidden[torch.arange(len(rows)), lengths - 1]
        visible = inputs.segment >= 0
        if self._model.config.past_actions == "masked":
            visible = visible & (inputs.kind < Kind.ACTION)
        first, last = self._tokenizer.action_range
        tokens = []
        for index in range(action.size):
            logits = hidden @ self._model.head.weight[first:last].T
            tokens.append(self._choose(logits, rows) + first)
            if index + 1 == action.size:
                break
            visible = torch.cat([visible, visible.new_ones(len(rows), 1)], dim=1)
            ones = torch.ones(len(rows), 1, dtype=torch.long)
            out, cache = self._model.extend(
                tokens[-1][:, None], ones * int(kind_id), ones * index, (lengths + index)[:, None],
                visible[:, None, None, :], cache,
            )  # fmt: skip
            hidden = out[:, 0]
        return torch.stack(tokens, dim=1).numpy()

    def _choose(self, logits: Tensor, rows: np.ndarray) -> Tensor:
        if self._temperature == 0:
            return logits.argmax(-1)
        share = torch.softmax(logits / self._temperature, -1)
        draws = [torch.multinomial(share[i], 1, generator=self._generators[row]) for i, row in enumerate(rows)]
        return torch.cat(draws)


def _rows(part: np.ndarray | list[str], rows: np.ndarray) -> np.ndarray | list[str]:
    return [part[row] for row in rows] if isinstance(part, list) else part[rows]


def _one(steps: StepTokens, index: int) -> StepTokens:
    """One step of several, its invalid positions dropped: arrays [k]."""
    valid = steps.valid[index]
    return StepTokens(
        steps.token[index][valid], steps.kind[index][valid], steps.local_position[index][valid], valid[valid],
        steps.patches[index], steps.places, steps.tensors[index],
    )  # fmt: skip


def _window_inputs(windows: list[deque[StepTokens]]) -> Inputs:
    """Right-padded inputs [n, L] of n windows, L the longest."""
    lengths = [sum(len(step.token) for step in window) for window in windows]
    shape = (len(windows), max(lengths))
    token, kind = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    local, step_index = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    segment = np.full(shape, -1, np.int64)
    for row, window in enumerate(windows):
        end = lengths[row]
        token[row, :end] = np.concatenate([step.token for step in window])
        kind[row, :end] = np.concatenate([step.kind for step in window])
        local[row, :end] = np.concatenate([step.local_position for step in window])
        step_index[row, :end] = np.repeat(np.arange(len(window)), [len(step.token) for step in window])
        segment[row, :end] = 0
    steps = [step for window in windows for step in window]
    patches = np.concatenate([step.patches for step in steps])
    places = np.concatenate([step.places for step in steps])
    tensors = np.concatenate([step.tensors for step in steps])
    arrays = (
        token,
        kind,
        local,
        segment,
        step_index,
        segment_positions(segment),
        np.zeros(shape, bool),
        patches,
        places,
        tensors,
    )
    return Inputs(*(torch.from_numpy(array) for array in arrays))
