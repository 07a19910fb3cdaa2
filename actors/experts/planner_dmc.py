"""Predictive sampling for DM Control: an expert that plans with the simulator instead of being trained.

At every replanning step the physics is rebuilt from the observation alone, a bundle of perturbed plans is rolled out
with `mujoco.rollout`, and the plans are averaged with weights that grow with their return (MPPI, Williams et al. 2017,
arXiv 1707.02342; the spline plans follow predictive sampling, Howell et al. 2022, arXiv 2212.00541). A task is one
`ControlTask`: how to rebuild its state, its reward, and what the plan is scored by.
"""

import dataclasses
import importlib
import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

Observation = Mapping[str, np.ndarray]


class Score(Protocol):
    """Scores visited states. qpos [..., nq], qvel [..., nv], controls [..., A], target [G] -> float64 [...]."""

    def __call__(self, qpos: np.ndarray, qvel: np.ndarray, controls: np.ndarray, target: np.ndarray) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class State:
    """What the physics and the reward need: qpos [nq], qvel [nv] and the goal's coordinates, target [G]."""

    qpos: np.ndarray
    qvel: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class ControlTask:
    """One task of the suite as the planner sees it; every count of steps is in control steps of the environment.

    `rebuild` must use the observation only, so that the planner sees no more than the network that imitates it.
    `reward` is the environment's own; `objective` is what plans are compared by and may add shaping to it.
    """

    domain: str
    rebuild: Callable[[Observation], State]
    reward: Score
    objective: Score
    horizon: int
    knots: int
    samples: int
    first_iterations: int
    replan_every: int
    noise: float
    temperature: float


def tolerance(x: np.ndarray, margin: float) -> np.ndarray:
    """dm_control's `rewards.tolerance` with bounds (0, 0), a Gaussian and 0.1 at the margin; float64, any shape."""
    return np.exp(np.log(0.1) * np.square(x / margin))


# --- reacher: two links of 0.12 m, a finger of radius 0.01 m and a target of radius 0.05 m (suite/reacher.{py,xml}) ---
_LINK = 0.12
_REACH = 0.01 + 0.05


def finger_position(qpos: np.ndarray) -> np.ndarray:
    """Where the reacher's finger is: joint angles [..., 2] in radians -> [..., 2] in metres."""
    shoulder, elbow = qpos[..., 0], qpos[..., 0] + qpos[..., 1]
    return _LINK * np.stack([np.cos(shoulder) + np.cos(elbow), np.sin(shoulder) + np.sin(elbow)], axis=-1)


def rebuild_reacher(observation: Observation) -> State:
    """The arm and its target from `position` [2], `velocity` [2] and `to_target` [2]."""
    qpos = np.asarray(observation["position"], np.float64)
    target = finger_position(qpos) + observation["to_target"]
    return State(qpos, np.asarray(observation["velocity"], np.float64), target)


def reward_reacher(qpos: np.ndarray, qvel: np.ndarray, controls: np.ndarray, target: np.ndarray) -> np.ndarray:
    """1 where finger and target overlap, else 0."""
    return (np.linalg.norm(finger_position(qpos) - target, axis=-1) <= _REACH).astype(np.float64)


def objective_reacher(qpos: np.ndarray, qvel: np.ndarray, controls: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The distance to the target's centre, since a plan that never touches the target earns nothing to compare by.

    Speed and effort cost a little: the arm then comes to rest inside the target, and a network that imitates
    a resting arm has nothing to get wrong.
    """
    distance = np.linalg.norm(finger_position(qpos) - target, axis=-1)
    effort = np.square(controls).mean(axis=-1)
    speed = np.square(qvel).mean(axis=-1)
    return tolerance(distance, 0.1) - distance / _LINK - 0.02 * speed - 0.02 * effort


# --- cartpole: the hinge's angle is 0 when the pole is upright (suite/cartpole.{py,xml}) ---
def rebuild_cartpole(observation: Observation) -> State:
    """Cart and pole from `position` [3] = (x, cos, sin) and `velocity` [2]."""
    x, cosine, sine = observation["position"]
    qpos = np.array([x, np.arctan2(sine, cosine)], np.float64)
    return State(qpos, np.asarray(observation["velocity"], np.float64), np.empty(0))


def reward_cartpole(qpos: np.ndarray, qvel: np.ndarray, controls: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The product of four terms in [0, 1]: upright, centred, little control, little angular velocity."""
    upright = (np.cos(qpos[..., 1]) + 1) / 2
    centred = (1 + tolerance(qpos[..., 0], 2)) / 2
    small_control = (4 + np.clip(1 - np.square(controls[..., 0]), 0, None)) / 5
    small_velocity = (1 + tolerance(qvel[..., 1], 5)) / 2
    return upright * small_control * small_velocity * centred


def objective_cartpole(qpos: np.ndarray, qvel: np.ndarray, controls: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The reward, less the cart's distance from the middle and, once the pole is up, the cart's speed.

    The rail ends beyond the horizon of a plan: without these terms the cart balances the pole and drifts into its end.
    """
    upright = (np.cos(qpos[..., 1]) + 1) / 2
    drift = np.square(qpos[..., 0]) + np.square(upright) * np.square(qvel[..., 0])
    return reward_cartpole(qpos, qvel, controls, target) - 0.1 * drift


TASKS: dict[str, ControlTask] = {
    "ReacherEasy-v1": ControlTask(
        "reacher", rebuild_reacher, reward_reacher, objective_reacher,
        horizon=25, knots=5, samples=32, first_iterations=4, replan_every=5, noise=0.4, temperature=0.1,
    ),
    "CartpoleSwingup-v1": ControlTask(
        "cartpole", rebuild_cartpole, reward_cartpole, objective_cartpole,
        horizon=120, knots=8, samples=48, first_iterations=20, replan_every=6, noise=0.5, temperature=0.1,
    ),
}  # fmt: skip


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


class Simulator:
    """Rolls plans out in the suite's own model of one domain.

    Raises ImportError when MuJoCo or dm_control is missing, naming the extra that brings them.
    """

    def __init__(self, domain: str) -> None:
        try:
            import mujoco
            import mujoco.rollout

            # Nothing is drawn here, and without a screen the default renderer complains.
            os.environ.setdefault("MUJOCO_GL", "disable")
            suite = importlib.import_module(f"dm_control.suite.{domain}")
        except ImportError as error:
            raise ImportError("the DM Control planner needs MuJoCo: pip install 'gato-dist[suites]'") from error
        self.model = mujoco.MjModel.from_xml_string(*suite.get_model_and_assets())
        self._data = mujoco.MjData(self.model)
        self._rollout = mujoco.rollout.rollout

    def rollout(self, state: State, controls: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The states after each control: controls [K, H, A] -> qpos [K, H, nq], qvel [K, H, nv], float64."""
        start = np.concatenate([[0.0], state.qpos, state.qvel])
        states, _ = self._rollout(self.model, self._data, start[None], controls)
        velocities = 1 + self.model.nq
        return states[..., 1:velocities], states[..., velocities : velocities + self.model.nv]


def improve(
    task: ControlTask, simulator: Simulator, state: State, plan: np.ndarray, noise: np.ndarray, basis: np.ndarray
) -> np.ndarray:
    """One round of MPPI over knots: plan [P, A] in [-1, 1] and unit noise [K, P, A] -> a better plan [P, A]."""
    plans = np.clip(plan + task.noise * noise, -1, 1)
    controls = np.einsum("hp,kpa->kha", basis, plans)
    qpos, qvel = simulator.rollout(state, controls)
    returns = task.objective(qpos, qvel, controls, state.target).sum(axis=1)
    return weighted_plan(plans, returns, task.temperature)


class ControlPlanner:
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
        self._simulator = Simulator(self.task.domain)
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

    def act(self, observations: Observation, info: Mapping[str, Any], active: np.ndarray) -> np.ndarray:
        """Actions in [-1, 1], float32 [N, A]; rows where `active` [N] is False are zero and cost nothing."""
        actions = np.zeros((len(active), self._actions), np.float32)
        for row in np.flatnonzero(active):
            if self._ages[row] % self.task.replan_every == 0:
                self._replan(row, {key: value[row] for key, value in observations.items()})
            actions[row] = self._basis[self._ages[row] % self.task.replan_every] @ self._plans[row]
            self._ages[row] += 1
        return actions

    def describe(self) -> dict[str, Any]:
        """Name, kind and every parameter that shapes the behaviour, as plain values for a content hash."""
        parameters = dataclasses.asdict(self.task)
        parameters.update({key: parameters[key].__name__ for key in ("rebuild", "reward", "objective")})
        return {"name": f"control_planner/{self.name}", "kind": "planner", "parameters": parameters}

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
