"""Disturbs an expert, so that it also demonstrates how to recover (DART, Laskey et al. 2017, arXiv 1703.09327)."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Array, Info, Policy


class NoisyExpert(Policy):
    """Replaces the expert's action by a random one now and then. The expert's own actions are the targets to learn."""

    def __init__(self, expert: Policy, random: Policy, seeds: list[int], *, share: float, steps: int) -> None:
        """Wraps an expert.

        Args:
            expert: the policy to disturb.
            random: a policy over the same environments, whose actions disturb.
            seeds: one per environment; they decide when disturbances begin.
            share: fraction of the steps that are disturbed.
            steps: number of steps for which a disturbance holds its random action.
        """
        self._expert, self._random = expert, random
        self._share, self._steps = share, steps
        self._generators = [np.random.default_rng([seed, 1]) for seed in seeds]
        self._steps_left = np.zeros(len(seeds), np.int64)
        self._held: Array | None = None
        self._expert_actions: Array = np.zeros(0)

    def reset(self, env_ids: Array) -> None:
        self._steps_left[env_ids] = 0
        self._expert.reset(env_ids)
        self._random.reset(env_ids)

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns the actions to take, disturbed ones included: [N, *action shape]."""
        self._expert_actions = self._expert.act(observations, info, active)
        fresh = self._random.act(observations, info, active).astype(self._expert_actions.dtype)
        held = fresh if self._held is None else self._held
        # With this chance to begin, disturbances of `steps` steps disturb `share` of all steps.
        chance = self._share / (self._steps - self._share * (self._steps - 1))
        begins = np.zeros(len(active), bool)
        for i in np.flatnonzero(active & (self._steps_left == 0)):
            begins[i] = self._generators[i].random() < chance
        self._steps_left[begins] = self._steps
        disturbed = self._steps_left > 0
        per_env = (slice(None),) + (None,) * (fresh.ndim - 1)
        self._held = np.where(begins[per_env], fresh, held)
        self._steps_left = np.maximum(self._steps_left - 1, 0)
        taken = np.where(disturbed[per_env], self._held, self._expert_actions)
        self._expert.played(taken)
        return taken

    def targets(self, actions: Array) -> Array:
        """Returns the expert's own actions for the last observations: [N, *action shape]."""
        return self._expert_actions

    def describe(self) -> dict[str, Any]:
        inner = self._expert.describe()
        return inner | {"name": f"{inner['name']}, disturbed", "noise": self._share, "noise_steps": self._steps}
