"""How often a policy that acts itself agrees with its expert, by distance from the states that the expert visits."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.evaluate import Evaluator
from actors.experts.demonstrator import policy_provenance
from actors.experts.registry import find_kind, make_expert
from actors.labelled import LabelledPolicy
from actors.rollout import episodes
from gato_dist.config.data_sections import TaskConfig
from gato_dist.episode import Episode
from gato_dist.evaluation.teacher_forced_agreement import action_tolerance
from gato_dist.model.gato import Gato
from gato_dist.seeds import evaluation_seeds
from gato_dist.specs import ActionSpec, Modality, TaskSpec
from gato_dist.tokens.values import BINS, encode_action

CHUNK = 256  # states whose distances are in memory at once
QUANTILES = 4


@dataclass(frozen=True, kw_only=True)
class DistanceBin:
    """The steps at distances `low` to `high` from the expert's nearest state.

    Attributes:
        low: smallest distance, in standard deviations of the states.
        high: largest distance.
        steps: number of steps.
        agreement: share of steps with the expert's own action.
        mean_error: mean absolute difference from the expert's action over all dimensions, as a share of the action's
            range; None for discrete actions.
    """

    low: float
    high: float
    steps: int
    agreement: float
    mean_error: float | None


def play_labelled_episodes(
    evaluator: Evaluator, model: Gato, task: TaskConfig, *, count: int, version: int
) -> list[Episode]:
    """Plays the model on evaluation seeds, with the expert's actions as targets.

    Args:
        evaluator: plays the checkpoint's tasks.
        model: the checkpoint's model.
        task: the task and its expert.
        count: number of episodes.
        version: weights version, for the episodes' provenance.

    Returns:
        The episodes; none if the expert cannot label states that it did not reach itself.
    """
    if not find_kind(task.name, task.expert).labels:
        return []
    played: list[Episode] = []
    # One environment at a time: an expert may have no answer for an environment whose episode is over.
    for seed in evaluation_seeds(count):
        made = make_expert(task.name, [seed], 1, task.expert, task.expert_options)
        try:
            actor = evaluator.policy(model, task.name, [seed], version)
            policy, source = LabelledPolicy(actor, made.policy), policy_provenance(task.name, actor, version)
            played += episodes(made.env, policy, source, once=True)
        finally:
            made.env.close()
    return played


def agreement_by_distance(spec: TaskSpec, labelled: Sequence[Episode], expert: Sequence[Episode]) -> list[DistanceBin]:
    """Splits the labelled steps into quarters by distance from the expert's states, and measures the agreement in each.

    A state is the observation's continuous and discrete parts, divided by their standard deviation over both sets of
    episodes, because the expert alone may hardly vary some of them.

    Args:
        spec: of the task.
        labelled: the policy's episodes, with the expert's actions as targets.
        expert: the expert's own episodes.

    Returns:
        Quarters in the order of distance. Empty without labelled steps or without numbers in the observations.
    """
    parts = [part.name for part in spec.observations if part.modality in (Modality.CONTINUOUS, Modality.DISCRETE)]
    if not labelled or not parts:
        return []
    path, visited = _states(parts, expert), _states(parts, labelled)
    std = np.concatenate([path, visited]).std(axis=0)
    std[std == 0] = 1.0
    distance = nearest_distances(visited / std, path / std)
    apart = np.concatenate([bins_apart(spec.action, each.actions, each.targets) for each in labelled])
    agrees = (apart <= action_tolerance(spec.action)).all(axis=1)
    continuous = spec.action.modality is Modality.CONTINUOUS
    order = np.argsort(distance, kind="stable")
    return [
        DistanceBin(
            low=float(distance[steps[0]]),
            high=float(distance[steps[-1]]),
            steps=len(steps),
            agreement=float(agrees[steps].mean()),
            mean_error=float(apart[steps].mean() / BINS) if continuous else None,
        )
        for steps in np.array_split(order, QUANTILES)
        if len(steps)
    ]


def nearest_distances(states: np.ndarray, path: np.ndarray) -> np.ndarray:
    """Returns the root mean square difference of each state to the nearest state of a path.

    Args:
        states: float64 [S, D].
        path: float64 [P, D].

    Returns:
        float64 [S].
    """
    squares = (path**2).sum(1)
    nearest = []
    for first in range(0, len(states), CHUNK):
        chunk = states[first : first + CHUNK]
        nearest.append(((chunk**2).sum(1)[:, None] - 2 * chunk @ path.T + squares).min(1))
    return np.sqrt(np.maximum(np.concatenate(nearest), 0.0) / path.shape[1])


def bins_apart(action: ActionSpec, actions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Returns how far the actions [T, ...] of each step are from the targets [T, ...].

    Returns:
        int64 [T, A]: distances in bins for continuous actions, differences of the choices' numbers for discrete ones.
    """
    both = [np.asarray(each).reshape(len(each), -1) for each in (actions, targets)]
    if action.modality is Modality.CONTINUOUS:
        both = [encode_action(each, np.array(action.low), np.array(action.high)) for each in both]
    return np.abs(both[0].astype(np.int64) - both[1])


def _states(parts: list[str], played: Sequence[Episode]) -> np.ndarray:
    """The named parts of all observations, flat, one step after the other: float64 [S, D]."""
    return np.concatenate(
        [
            np.concatenate(
                [np.asarray(each.observations[name], np.float64).reshape(len(each.actions), -1) for name in parts], 1
            )
            for each in played
        ]
    )
