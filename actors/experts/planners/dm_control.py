"""Predictive sampling for DM Control: an expert that plans with the simulator instead of being trained.

At every replanning step the physics is rebuilt from the observation alone, a bundle of perturbed plans is rolled out
with `mujoco.rollout`, and the plans are averaged with weights that grow with their return (MPPI, Williams et al. 2017,
arXiv 1707.02342; the spline plans follow predictive sampling, Howell et al. 2022, arXiv 2212.00541). What it knows
of a task is a `ControlTask` of `actors.experts.dmc`.
"""

import dataclasses
from typing import Any

import numpy as np

from actors.experts.planners.control_tasks.simulator import Simulator
from actors.experts.planners.control_tasks.spec import ControlTask, Observation, PhysicsState
from actors.experts.planners.control_tasks.tasks import TASKS
from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy

__all__ = [
    "TASKS",
    "ControlPlanner",
    "Simulator",
    "improve",
    "noise_scales",
    "shifted",
    "spline_basis",
    "weighted_plan",
]


def spline_basis(knots: int, horizon: int) -> np.ndarray:
    """Linear interpolation as a matrix: knots [P] placed evenly over the plan -> controls [H]; float64 [H, P]."""
    at = np.linspace(0, knots - 1, horizon)
    return np.clip(1 - np.abs(at[:, None] - np.arange(knots)), 0, None)


def shifted(plan: np.ndarray, basis: np.ndarray, steps: int) -> np.ndarray:
    """The plan [P, A] as seen `steps` control steps later, its last knot held; still [P, A]."""
    knots, horizon = len(plan), len(basis)
    at = np.linspace(0, knots - 1, knots) + steps * (knots - 1) / (horizon - 1)
    return np.stack([np.interp(at, np.arange(knots), column) for column in plan.T], axis=1)


def weighted_plan(plans: np.ndarray, returns: np.ndarray, temperature: float) -> np.ndarray:
    """The average of plans [K, ...] under softmax weights of their standardised returns [K].

    An average of good plans is smoother in the observation than the best plan, hence easier to imitate.
    """
    spread = returns.std()
    weights = np.exp((returns - returns.max()) / (temperature * spread)) if spread > 0 else np.ones_like(returns)
    return np.tensordot(weights / weights.sum(), plans, axes=1)


def noise_scales(task: ControlTask) -> np.ndarray:
    """Standard deviation of each sample's perturbation, float64 [K]: from `noise * calmest` up to `noise`."""
    return task.noise * task.calmest ** np.linspace(1, 0, task.samples)


def improve(
    task: ControlTask, simulator: Simulator, state: PhysicsState, plan: np.ndarray, noise: np.ndarray, basis: np.ndarray
) -> np.ndarray:
    """One round of MPPI over knots: plan [P, A] in [-1, 1] and unit noise [K, P, A] -> a better plan [P, A]."""
    plans = np.clip(plan + noise_scales(task)[:, None, None] * noise, -1, 1)
    controls = np.einsum("hp,kpa->kha", basis, plans)
    returns = task.objective(simulator.rollout(state, controls)).sum(axis=1)
    return weighted_plan(plans, returns, task.temperature)


class ControlPlanner(Policy):
    """Plans for each of `num_envs` environments of one task; a function of the observation and its own last plan.

    seed draws the perturbations; budget replaces fields of the task's specification (`samples`, `replan_every`, ...).
    Between replanning steps it plays the plan it has, which the simulator it planned with follows exactly.
    Raises ValueError for a task without a specification or an impossible budget, TypeError for an unknown field of it,
    ImportError without MuJoCo and dm_control.
    """

    def __init__(self, task: str, num_envs: int, seed: int, **budget: Any) -> None:
        if task not in TASKS:
            raise ValueError(f"no control planner for {task!r}; there is one for {', '.join(sorted(TASKS))}")
        self.name = task
        self.task = dataclasses.replace(TASKS[task], **budget)
        if self.task.samples < 2 or not 1 <= self.task.replan_every <= self.task.horizon:
            raise ValueError(f"{task}: samples must be at least 2, and replan_every within 1 ... horizon: {budget}")
        self._simulator = Simulator(self.task)
        self._basis = spline_basis(self.task.knots, self.task.horizon)
        self._actions = self._simulator.model.nu
        self._random = [np.random.default_rng([seed, row]) for row in range(num_envs)]
        self._plans = np.zeros((num_envs, self.task.knots, self._actions))
        self._ages = np.zeros(num_envs, np.int64)
        self.reset(np.arange(num_envs))

    def reset(self, env_ids: np.ndarray) -> None:
        """Forgets the plans of env_ids [M], which begin a new episode at the next `act`."""
        self._plans[env_ids] = 0
        self._ages[env_ids] = 0

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Actions in [-1, 1], float32 [N, A]; rows where `active` [N] is False are zero and cost nothing."""
        actions = np.zeros((len(active), self._actions), np.float32)
        for row in np.flatnonzero(active):
            if self._ages[row] % self.task.replan_every == 0:
                self._replan(row, {key: np.asarray(value[row]) for key, value in observations.items()})
            actions[row] = self._basis[self._ages[row] % self.task.replan_every] @ self._plans[row]
            self._ages[row] += 1
        return actions

    def describe(self) -> dict[str, Any]:
        """Name, kind and every parameter that shapes the behaviour, as plain values for a content hash."""
        return {"name": f"control_planner/{self.name}", "kind": "planner", "parameters": self.task.describe()}

    def _replan(self, row: int, observation: Observation) -> None:
        """Moves the plan on to the present and improves it from the state that the observation shows."""
        task = self.task
        first = self._ages[row] == 0
        if not first:
            self._plans[row] = shifted(self._plans[row], self._basis, task.replan_every)
        state = task.rebuild(observation)
        for _ in range(task.first_iterations if first else 1):
            noise = self._random[row].standard_normal((task.samples, task.knots, self._actions))
            noise[0] = 0  # the plan itself competes too
            self._plans[row] = improve(task, self._simulator, state, self._plans[row], noise, self._basis)
