"""Predictive sampling for DM Control: an expert that plans with the simulator instead of being trained.

At every replanning step, the planner rebuilds the physical state from the observation alone, simulates perturbed plans
with `mujoco.rollout`, and averages the plans with weights that grow with their returns (MPPI, Williams et al. 2017,
arXiv 1707.02342). Plans are splines, as in predictive sampling (Howell et al. 2022, arXiv 2212.00541). A `ControlTask`
of `actors.experts.planners.control_tasks` holds what the planner knows of a task.
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
    """Returns the matrix, float64 [H, P], that interpolates H controls linearly between P evenly spaced knots."""
    at = np.linspace(0, knots - 1, horizon)
    return np.clip(1 - np.abs(at[:, None] - np.arange(knots)), 0, None)


def shifted(plan: np.ndarray, basis: np.ndarray, steps: int) -> np.ndarray:
    """Moves a plan in time. The last knot is held.

    Args:
        plan: knots, [P, A].
        basis: the matrix of `spline_basis`, [H, P].
        steps: control steps that have passed.

    Returns:
        The knots of the rest of the plan, [P, A].
    """
    knots, horizon = len(plan), len(basis)
    at = np.linspace(0, knots - 1, knots) + steps * (knots - 1) / (horizon - 1)
    return np.stack([np.interp(at, np.arange(knots), column) for column in plan.T], axis=1)


def weighted_plan(plans: np.ndarray, returns: np.ndarray, temperature: float) -> np.ndarray:
    """Averages plans with softmax weights of their standardised returns (MPPI).

    The average depends on the observation more smoothly than the best plan does, hence it is easier to imitate.

    Args:
        plans: [K, ...].
        returns: [K].
        temperature: of the softmax.

    Returns:
        The average plan, [...].
    """
    spread = returns.std()
    weights = np.exp((returns - returns.max()) / (temperature * spread)) if spread > 0 else np.ones_like(returns)
    return np.tensordot(weights / weights.sum(), plans, axes=1)


def noise_scales(task: ControlTask) -> np.ndarray:
    """Returns the standard deviation of each sample's perturbation, float64 [K], from `noise · calmest` to `noise`."""
    return task.noise * task.calmest ** np.linspace(1, 0, task.samples)


def improve(
    task: ControlTask, simulator: Simulator, state: PhysicsState, plan: np.ndarray, noise: np.ndarray, basis: np.ndarray
) -> np.ndarray:
    """Improves a plan by one round of MPPI.

    Args:
        task: the task, with the planner's parameters.
        simulator: the task's physics.
        state: the current state.
        plan: knots in [−1, 1], [P, A].
        noise: standard normal numbers, [K, P, A].
        basis: the matrix of `spline_basis`, [H, P].

    Returns:
        The improved knots, [P, A].
    """
    plans = np.clip(plan + noise_scales(task)[:, None, None] * noise, -1, 1)
    controls = np.einsum("hp,kpa->kha", basis, plans)
    returns = task.objective(simulator.rollout(state, controls)).sum(axis=1)
    return weighted_plan(plans, returns, task.temperature)


class ControlPlanner(Policy):
    """Plans for N environments of one task. Actions depend on the observation and on the previous plan.

    Args:
        task: envpool's name, a key of `TASKS`.
        num_envs: number of environments, N.
        seed: of the perturbations.
        **budget: replaces fields of the task's `ControlTask`, such as `samples` or `replan_every`.

    Raises:
        ValueError: if there is no `ControlTask` for the task, or the budget is impossible.
        TypeError: if `ControlTask` does not have a field of `budget`.
        ImportError: if MuJoCo or dm_control is missing.
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
        """Drops the plans of these environments, int [M], which begin a new episode at the next `act`."""
        self._plans[env_ids] = 0
        self._ages[env_ids] = 0

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """Returns actions in [−1, 1], float32 [N, A]; zeros, without a search, in inactive environments."""
        actions = np.zeros((len(active), self._actions), np.float32)
        for row in np.flatnonzero(active):
            if self._ages[row] % self.task.replan_every == 0:
                self._replan(row, {key: np.asarray(value[row]) for key, value in observations.items()})
            actions[row] = self._basis[self._ages[row] % self.task.replan_every] @ self._plans[row]
            self._ages[row] += 1
        return actions

    def describe(self) -> dict[str, Any]:
        """Returns name, kind and all parameters, which are hashed."""
        return {"name": f"control_planner/{self.name}", "kind": "planner", "parameters": self.task.describe()}

    def _replan(self, row: int, observation: Observation) -> None:
        """Moves an environment's plan to the present and improves it from the observed state."""
        task = self.task
        first = self._ages[row] == 0
        if not first:
            self._plans[row] = shifted(self._plans[row], self._basis, task.replan_every)
        state = task.rebuild(observation)
        for _ in range(task.first_iterations if first else 1):
            noise = self._random[row].standard_normal((task.samples, task.knots, self._actions))
            noise[0] = 0  # the unperturbed plan is one of the samples
            self._plans[row] = improve(task, self._simulator, state, self._plans[row], noise, self._basis)
