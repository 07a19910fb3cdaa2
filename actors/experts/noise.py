"""Disturbs an expert while it demonstrates, so that it shows how to recover (DART: Laskey et al. 2017, 1703.09327)."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy


class NoisyExpert(Policy):
    """Plays a random action now and then in place of the expert's, and keeps what the expert would have done.

    share: the fraction of steps that are disturbed; steps: how long a disturbance holds its random action.
    random: a policy over the same environments, whose actions disturb. `targets` are the expert's own actions, which
    are learned from; the expert gets the actions that were taken by `played`.
    """

    def __init__(self, expert: Policy, random: Policy, share: float, steps: int, seeds: list[int]) -> None:
        self._expert, self._random = expert, random
        self._share, self._steps = share, steps
        self._generators = [np.random.default_rng([seed, 1]) for seed in seeds]
        self._left = np.zeros(len(seeds), np.int64)
        self._held: np.ndarray | None = None
        self._expert_actions = np.zeros(0)

    def reset(self, env_ids: np.ndarray) -> None:
        self._left[env_ids] = 0
        self._expert.reset(env_ids)
        self._random.reset(env_ids)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """What is done: [N, *action shape]."""
        self._expert_actions = self._expert.act(observations, info, active)
        fresh = self._random.act(observations, info, active).astype(self._expert_actions.dtype)
        held = fresh if self._held is None else self._held
        begins = np.zeros(len(active), bool)
        for i in np.flatnonzero(active & (self._left == 0)):
            # A disturbance of `steps` steps that begins with this chance disturbs `share` of all steps.
            begins[i] = self._generators[i].random() < self._share / (self._steps - self._share * (self._steps - 1))
        self._left[begins] = self._steps
        disturbed = self._left > 0
        wide = (slice(None),) + (None,) * (fresh.ndim - 1)
        self._held = np.where(begins[wide], fresh, held)
        self._left = np.maximum(self._left - 1, 0)
        done = np.where(disturbed[wide], self._held, self._expert_actions)
        self._expert.played(done)
        return done

    def targets(self, actions: np.ndarray) -> np.ndarray:
        """Returns the expert's own actions for the last observations: [N, *action shape]."""
        return self._expert_actions

    def describe(self) -> dict[str, Any]:
        inner = self._expert.describe()
        return inner | {"name": f"{inner['name']}, disturbed", "noise": self._share, "noise_steps": self._steps}
