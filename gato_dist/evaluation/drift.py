"""How a policy's agreement with its expert changes with its distance from the expert's path."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.evaluate import Evaluator
from actors.experts.demonstrator import policy_provenance
from actors.experts.registry import find_kind, make_expert
from actors.labelled import LabelledPolicy
from actors.rollout import episodes
from gato_dist.config.sections import TaskConfig
from gato_dist.episode import Episode
from gato_dist.evaluation.teacher_forcing import TOLERANCE
from gato_dist.model.gato import Gato
from gato_dist.seeds import evaluation_seeds
from gato_dist.specs import ActionSpec, Modality, TaskSpec
from gato_dist.tokens.values import BINS, encode_action

CHUNK = 256  # states whose distances are held at once
BANDS = 4


@dataclass(frozen=True)
class Band:
    """Steps at a distance low … high from the expert's nearest state.

    agrees: share with the expert's own action; error: mean difference from it as a share of the action's range, over
    dimensions, None for discrete actions.
    """

    low: float
    high: float
    steps: int
    agrees: float
    error: float | None


def labelled_episodes(evaluator: Evaluator, model: Gato, task: TaskConfig, count: int, version: int) -> list[Episode]:
    """Gato's episodes with the expert's actions as targets, on evaluation seeds; none where the expert cannot label.

    One world at a time: an expert need not know what to say of a world whose episode is over.
    """
    if not find_kind(task.name, task.expert).labels:
        return []
    played: list[Episode] = []
    for seed in evaluation_seeds(count):
        made = make_expert(task.name, [seed], 1, task.expert, task.expert_options)
        try:
            actor = evaluator.policy(model, task.name, [seed], version)
            policy, source = LabelledPolicy(actor, made.policy), policy_provenance(task.name, actor, version)
            played += episodes(made.env, policy, source, once=True)
        finally:
            made.env.close()
    return played


def drift(spec: TaskSpec, labelled: Sequence[Episode], expert: Sequence[Episode]) -> list[Band]:
    """Quarters of the labelled steps, by distance; none without steps or without numbers in the observations.

    A state is its continuous and discrete parts, in standard deviations over both paths: the expert alone may hardly
    move some. The distance is the root mean square over them to the expert's nearest state.
    """
    parts = [part.name for part in spec.observations if part.modality in (Modality.CONTINUOUS, Modality.DISCRETE)]
    if not labelled or not parts:
        return []
    path, visited = (_states(parts, each) for each in (expert, labelled))
    spread = np.concatenate([path, visited]).std(axis=0)
    spread[spread == 0] = 1.0
    distance = nearest(visited / spread, path / spread)
    apart = np.concatenate([bins_apart(spec.action, each.actions, each.targets) for each in labelled])
    continuous = spec.action.modality is Modality.CONTINUOUS
    agrees = (apart <= (TOLERANCE if continuous else 0)).all(axis=1)
    order = np.argsort(distance, kind="stable")
    return [
        Band(
            float(distance[some[0]]), float(distance[some[-1]]), len(some), float(agrees[some].mean()),
            float(apart[some].mean() / BINS) if continuous else None,
        )
        for some in np.array_split(order, BANDS)
        if len(some)
    ]  # fmt: skip


def nearest(states: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Root mean square difference of each state [S, D] to the nearest row of `path` [P, D]: float64 [S]."""
    found = []
    squares = (path**2).sum(1)
    for first in range(0, len(states), CHUNK):
        some = states[first : first + CHUNK]
        found.append(((some**2).sum(1)[:, None] - 2 * some @ path.T + squares).min(1))
    return np.sqrt(np.maximum(np.concatenate(found), 0.0) / path.shape[1])


def bins_apart(action: ActionSpec, done: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far the actions [T, ...] of each step lie apart, int64 [T, A]: in bins, or in numbers of discrete choices."""
    both = [np.asarray(each).reshape(len(each), -1) for each in (done, wanted)]
    if action.modality is Modality.CONTINUOUS:
        both = [encode_action(each, np.array(action.low), np.array(action.high)) for each in both]
    return np.abs(both[0].astype(np.int64) - both[1])


def _states(parts: list[str], episodes_of: Sequence[Episode]) -> np.ndarray:
    return np.concatenate(
        [
            np.concatenate(
                [np.asarray(each.observations[name], np.float64).reshape(len(each.actions), -1) for name in parts], 1
            )
            for each in episodes_of
        ]
    )
