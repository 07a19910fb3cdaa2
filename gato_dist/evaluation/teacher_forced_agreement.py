"""How often a model predicts an expert's action on the expert's own episodes (teacher forcing).

Every token before a predicted action element is the expert's, as in training.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from gato_dist.episode import Episode
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import ModelInputs, OutputPositions
from gato_dist.sequence import Kind, Sequences, collate
from gato_dist.specs import ActionSpec, Modality
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.packing import Packer

BATCH = 32  # sequences
TOLERANCE = 16  # bins of a continuous action that count as the same action: 1.6 % of its range


@dataclass(frozen=True, kw_only=True)
class TeacherForcedPredictions:
    """Predictions of a model at the S steps of an expert's episodes, with A action elements each.

    Attributes:
        predicted: most likely bins among the valid ones, int64 [S, A].
        target: the expert's bins, int64 [S, A].
        probability: probability that a sample at temperature 1 counts as the target, float64 [S, A].
        previous: index of the previous step if the same window shows it, else −1; int64 [S].
        tolerance: distance in bins up to which two actions count as the same.
        predicted_values: predicted actions in the action's units, float64 [S, A]; None for discrete actions.
        target_values: the expert's actions likewise.
    """

    predicted: np.ndarray
    target: np.ndarray
    probability: np.ndarray
    previous: np.ndarray
    tolerance: int
    predicted_values: np.ndarray | None = None
    target_values: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class DimensionAgreement:
    """Agreement with the expert in one action dimension. Errors are in the action's units, None for discrete actions.

    Attributes:
        greedy: share of steps at which the most likely action counts as the expert's.
        sampled: the same share for actions that are sampled at temperature 1.
        mean_error: mean absolute error of the most likely action.
        rms_error: root mean square error of the most likely action.
        repeat_error: mean absolute error of repeating the expert's previous action; None if no window shows one.
        expert_std: standard deviation of the expert's actions.
    """

    greedy: float
    sampled: float
    mean_error: float | None = None
    rms_error: float | None = None
    repeat_error: float | None = None
    expert_std: float | None = None


@dataclass(frozen=True, kw_only=True)
class RepetitionStatistics:
    """How often actions repeat the previous one. A model that copies past actions fails when the expert changes them.

    Shares are of the steps whose window shows the previous step. A share over no step is None.

    Attributes:
        expert_repeats: share of steps at which the expert repeats its previous action.
        predicted_repeats: share of steps at which the prediction repeats the expert's previous action.
        changes: number of steps at which the expert changes its action.
        copies_at_changes: share of those steps at which the prediction repeats the previous action.
        correct_at_changes: share of those steps at which the prediction is the expert's action.
        correct_at_repeats: share of the other steps at which the prediction is the expert's action.
    """

    expert_repeats: float
    predicted_repeats: float
    changes: int
    copies_at_changes: float | None
    correct_at_changes: float | None
    correct_at_repeats: float | None


@torch.inference_mode()
def predict_teacher_forced(
    model: Gato, tokenizer: TaskTokenizer, *, length: int, window_steps: int, episodes: list[Episode]
) -> TeacherForcedPredictions:
    """Predicts every action of the episodes, in windows that are cut and packed as in training.

    Args:
        model: the model; it is put into evaluation mode.
        tokenizer: of the episodes' task.
        length: tokens of a sequence.
        window_steps: steps of a window, as in the task's configuration.
        episodes: the expert's episodes. Their targets are what should be predicted.

    Returns:
        The predictions at all steps.
    """
    packer, packed = Packer(tokenizer, length=length, window_steps=window_steps, seed=0), list[Sequences]()
    for episode in episodes:
        if (full := packer.add(tokenizer.encode(episode.observations, episode.targets))) is not None:
            packed.append(full)
    if (rest := packer.flush()) is not None:
        packed.append(rest)
    batches = [_predict_batch(model.eval(), tokenizer, batch) for each in packed for batch in _batches(each)]
    predicted, target = (np.concatenate([getattr(b, name) for b in batches]) for name in ("predicted", "target"))
    continuous = tokenizer.spec.action.modality is Modality.CONTINUOUS
    return TeacherForcedPredictions(
        predicted=predicted,
        target=target,
        probability=np.concatenate([batch.probability for batch in batches]),
        previous=_concatenate_indices([batch.previous for batch in batches]),
        tolerance=action_tolerance(tokenizer.spec.action),
        predicted_values=_values(tokenizer, predicted) if continuous else None,
        target_values=_values(tokenizer, target) if continuous else None,
    )


def action_tolerance(action: ActionSpec) -> int:
    """Returns the distance in bins up to which two values of an action element count as the same."""
    return TOLERANCE if action.modality is Modality.CONTINUOUS else 0


def dimension_agreement(predictions: TeacherForcedPredictions) -> list[DimensionAgreement]:
    """Returns the agreement with the expert in each action dimension, [A]."""
    correct = np.abs(predictions.predicted - predictions.target) <= predictions.tolerance
    return [
        DimensionAgreement(
            greedy=float(correct[:, i].mean()),
            sampled=float(predictions.probability[:, i].mean()),
            **_errors(predictions, i),
        )
        for i in range(correct.shape[1])
    ]


def _errors(predictions: TeacherForcedPredictions, i: int) -> dict[str, float | None]:
    if predictions.predicted_values is None or predictions.target_values is None:
        return {}
    target, seen = predictions.target_values[:, i], predictions.previous >= 0
    error = predictions.predicted_values[:, i] - target
    repeat_error = np.abs(target[predictions.previous[seen]] - target[seen])
    return {
        "mean_error": float(np.abs(error).mean()),
        "rms_error": float(np.sqrt((error**2).mean())),
        "repeat_error": float(repeat_error.mean()) if seen.any() else None,
        "expert_std": float(target.std()),
    }


def repetition_statistics(predictions: TeacherForcedPredictions) -> RepetitionStatistics | None:
    """Returns how predictions relate to the previous action, or None if no window shows a previous step."""
    seen = predictions.previous >= 0
    if not seen.any():
        return None
    target, predicted = predictions.target[seen], predictions.predicted[seen]
    previous = predictions.target[predictions.previous[seen]]

    def same(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (np.abs(a - b) <= predictions.tolerance).all(axis=1)

    def share(values: np.ndarray, steps: np.ndarray) -> float | None:
        return float(values[steps].mean()) if steps.any() else None

    repeats, copies, correct = same(target, previous), same(predicted, previous), same(predicted, target)
    return RepetitionStatistics(
        expert_repeats=float(repeats.mean()),
        predicted_repeats=float(copies.mean()),
        changes=int((~repeats).sum()),
        copies_at_changes=share(copies, ~repeats),
        correct_at_changes=share(correct, ~repeats),
        correct_at_repeats=share(correct, repeats),
    )


class _BatchPredictions(NamedTuple):
    """As in TeacherForcedPredictions; `previous` holds indices into this batch."""

    predicted: np.ndarray
    target: np.ndarray
    probability: np.ndarray
    previous: np.ndarray


def _batches(sequences: Sequences) -> list[Sequences]:
    names = Sequences.__dataclass_fields__
    slices = [slice(first, first + BATCH) for first in range(0, len(sequences), BATCH)]
    return [Sequences(**{name: getattr(sequences, name)[part] for name in names}) for part in slices]


def _predict_batch(model: Gato, tokenizer: TaskTokenizer, sequences: Sequences) -> _BatchPredictions:
    size, device = tokenizer.spec.action.size, next(model.parameters()).device
    is_action = sequences.loss_mask & (sequences.kind >= Kind.ACTION)
    wanted = OutputPositions.from_mask(np.pad(is_action[:, 1:], ((0, 0), (0, 1))), device)
    hidden = model(ModelInputs.from_batch(collate([(0, sequences)], tokenizer.tensor_size), device), outputs=wanted)
    hidden = hidden.reshape(-1, size, hidden.shape[-1])
    tokens = sequences.token[is_action].astype(np.int64).reshape(-1, size)
    target = torch.from_numpy(tokens - tokenizer.action_offset).to(device)
    tolerance = action_tolerance(tokenizer.spec.action)
    predicted, probability = [], []
    for element, (first, last) in enumerate(tokenizer.action_ranges):
        logits = model.logits(hidden[:, element], first, last).double()
        predicted.append(logits.argmax(-1))
        # Entry k is the probability of a bin below k.
        cumulative = F.pad(F.softmax(logits, -1).cumsum(-1), (1, 0))
        bounds = target[:, element, None] + torch.tensor([-tolerance, tolerance + 1], device=device)
        below = cumulative.gather(1, bounds.clamp(0, last - first))
        probability.append(below[:, 1] - below[:, 0])
    return _BatchPredictions(
        predicted=torch.stack(predicted, 1).cpu().numpy(),
        target=target.cpu().numpy(),
        probability=torch.stack(probability, 1).cpu().numpy(),
        previous=_previous_steps(sequences, is_action, size),
    )


def _previous_steps(sequences: Sequences, is_action: np.ndarray, size: int) -> np.ndarray:
    """Index of the previous step in the same window of the same sequence, else −1; int64 [S]."""
    number, _ = np.nonzero(is_action)
    per_token = (number, sequences.segment[is_action], sequences.step[is_action])
    number, segment, step = (values.reshape(-1, size)[:, 0] for values in per_token)
    follows = np.zeros(len(number), bool)
    follows[1:] = (number[1:] == number[:-1]) & (segment[1:] == segment[:-1]) & (step[1:] == step[:-1] + 1)
    return np.where(follows, np.arange(len(number)) - 1, -1)


def _concatenate_indices(batches: list[np.ndarray]) -> np.ndarray:
    """Joins indices into single batches to indices into all of them; −1 stays −1."""
    starts = np.cumsum([0] + [len(batch) for batch in batches])
    return np.concatenate([np.where(b >= 0, b + start, -1) for start, b in zip(starts, batches, strict=False)])


def _values(tokenizer: TaskTokenizer, bins: np.ndarray) -> np.ndarray:
    return tokenizer.decode_actions(bins + tokenizer.action_offset).reshape(len(bins), -1).astype(np.float64)
