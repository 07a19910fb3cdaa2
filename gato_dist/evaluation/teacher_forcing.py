"""A model's predictions on episodes of an expert, every token before an action element being the expert's."""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from gato_dist.episode import Episode
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import ModelInputs, OutputPositions
from gato_dist.sequence import Kind, Sequences, collate
from gato_dist.specs import Modality
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer

ROWS = 32  # of a batch
TOLERANCE = 16  # bins of a continuous action, 1.6 % of its range, that count as the same action


@dataclass(frozen=True)
class Forced:
    """S steps of A action elements. predicted, target: bins int64 [S, A]. chance: of drawing one that counts as the
    target at temperature 1, float64 [S, A].

    before: row of the step before in the same window, int64 [S]; −1 where the window shows none.
    predicted_values, target_values: in the action's units, float64 [S, A]; None for discrete actions.
    tolerance: bins that count as the same action.
    """

    predicted: np.ndarray
    target: np.ndarray
    chance: np.ndarray
    before: np.ndarray
    tolerance: int
    predicted_values: np.ndarray | None
    target_values: np.ndarray | None


@dataclass(frozen=True)
class Agreement:
    """One action dimension. greedy: share of right predictions; sampled: of right ones drawn at temperature 1.

    In the action's units, None for discrete actions: error and root_mean_square of predictions, repeating: mean error
    of repeating the expert's action before (None without one in view), spread: standard deviation of the expert's.
    """

    greedy: float
    sampled: float
    error: float | None
    root_mean_square: float | None
    repeating: float | None
    spread: float | None


@dataclass(frozen=True)
class Following:
    """Shares of the steps that see a step before; None where there is none of the kind. changes: steps at which the
    expert's action is not the one before."""

    expert_repeats: float
    predicted_repeats: float
    changes: int
    copies_at_changes: float | None
    right_at_changes: float | None
    right_at_repeats: float | None


@torch.inference_mode()
def force(model: Gato, tokenizer: TaskTokenizer, length: int, window_steps: int, episodes: list[Episode]) -> Forced:
    """The most likely valid action tokens, in windows cut and packed as in training."""
    packer, rows = Packer(tokenizer, length=length, window_steps=window_steps, seed=0), list[Sequences]()
    for episode in episodes:
        if (full := packer.add(tokenizer.encode(episode.observations, episode.targets))) is not None:
            rows.append(full)
    if (rest := packer.flush()) is not None:
        rows.append(rest)
    found = [_predict(model.eval(), tokenizer, part) for each in rows for part in _parts(each)]
    predicted, target, chance = (np.concatenate([part[i] for part in found]) for i in range(3))
    ends, before = np.cumsum([0] + [len(part[3]) for part in found]), []
    for start, part in zip(ends, found, strict=False):
        before.append(np.where(part[3] >= 0, part[3] + start, -1))
    action = tokenizer.spec.action
    continuous = action.modality is Modality.CONTINUOUS
    return Forced(
        predicted, target, chance, np.concatenate(before), _tolerance(tokenizer),
        _values(tokenizer, predicted) if continuous else None, _values(tokenizer, target) if continuous else None,
    )  # fmt: skip


def agreement(forced: Forced) -> list[Agreement]:
    """Of each action dimension."""
    right = np.abs(forced.predicted - forced.target) <= forced.tolerance
    return [
        Agreement(float(right[:, i].mean()), float(forced.chance[:, i].mean()), *_errors(forced, i))
        for i in range(right.shape[1])
    ]


def following(forced: Forced) -> Following | None:
    """How predictions go with the action before; None where no step sees one."""
    seen = forced.before >= 0
    if not seen.any():
        return None
    target, predicted, old = forced.target[seen], forced.predicted[seen], forced.target[forced.before[seen]]

    def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.abs(a - b) <= forced.tolerance).all(axis=1)

    repeats, copies, right = same(target, old), same(predicted, old), same(predicted, target)

    def share(values: np.ndarray, where: np.ndarray) -> float | None:
        return float(values[where].mean()) if where.any() else None

    return Following(
        float(repeats.mean()), float(copies.mean()), int((~repeats).sum()),
        share(copies, ~repeats), share(right, ~repeats), share(right, repeats),
    )  # fmt: skip


def _errors(forced: Forced, i: int) -> tuple[float | None, float | None, float | None, float | None]:
    if forced.predicted_values is None or forced.target_values is None:
        return None, None, None, None
    target, seen = forced.target_values[:, i], forced.before >= 0
    error = forced.predicted_values[:, i] - target
    repeating = np.abs(target[forced.before[seen]] - target[seen])
    return (
        float(np.abs(error).mean()), float(np.sqrt((error**2).mean())),
        float(repeating.mean()) if seen.any() else None, float(target.std()),
    )  # fmt: skip


def _parts(rows: Sequences) -> list[Sequences]:
    names = Sequences.__dataclass_fields__
    cuts = [slice(first, first + ROWS) for first in range(0, len(rows), ROWS)]
    return [Sequences(**{name: getattr(rows, name)[cut] for name in names}) for cut in cuts]


def _predict(model: Gato, tokenizer: TaskTokenizer, rows: Sequences) -> tuple[np.ndarray, ...]:
    """Predicted and target bins and the target's chance, [S, A] each, and the step before inside these rows [S]."""
    size, device = tokenizer.spec.action.size, next(model.parameters()).device
    is_action = rows.loss_mask & (rows.kind >= Kind.ACTION)
    wanted = OutputPositions.from_mask(np.pad(is_action[:, 1:], ((0, 0), (0, 1))), device)
    hidden = model(ModelInputs.from_batch(collate([(0, rows)], tokenizer.tensor_size), device), outputs=wanted)
    hidden = hidden.reshape(-1, size, hidden.shape[-1])
    offset, tolerance = tokenizer.action_offset, _tolerance(tokenizer)
    bins = torch.from_numpy(rows.token[is_action].astype(np.int64).reshape(-1, size) - offset).to(device)
    predicted, chance = [], []
    for element, (first, last) in enumerate(tokenizer.action_ranges):
        logits = model.logits(hidden[:, element], first, last).double()
        predicted.append(logits.argmax(-1))
        below = F.pad(F.softmax(logits, -1).cumsum(-1), (1, 0))
        near = bins[:, element, None] + torch.tensor([-tolerance, tolerance + 1], device=device)
        ends = below.gather(1, near.clamp(0, last - first))
        chance.append(ends[:, 1] - ends[:, 0])
    where, _ = np.nonzero(is_action)
    places = (where, rows.segment[is_action], rows.step[is_action])
    row, segment, step = (values.reshape(-1, size)[:, 0] for values in places)
    follows = np.zeros(len(row), bool)
    follows[1:] = (row[1:] == row[:-1]) & (segment[1:] == segment[:-1]) & (step[1:] == step[:-1] + 1)
    before = np.where(follows, np.arange(len(row)) - 1, -1)
    found = (torch.stack(predicted, 1), bins, torch.stack(chance, 1))
    return *(each.cpu().numpy() for each in found), before


def _tolerance(tokenizer: TaskTokenizer) -> int:
    return TOLERANCE if tokenizer.spec.action.modality is Modality.CONTINUOUS else 0


def _values(tokenizer: TaskTokenizer, bins: np.ndarray) -> np.ndarray:
    return tokenizer.decode_actions(bins + tokenizer.action_offset).reshape(len(bins), -1).astype(np.float64)
