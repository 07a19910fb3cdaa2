"""The parts of a task that the control planner needs, and dm_control's reward functions for arrays.

The names of rebuild, reward and objective functions are part of an expert's description, whose hash is provenance.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

Observation = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class PhysicsState:
    """The state of the physics, and the goal.

    Attributes:
        qpos: generalised positions, float64 [nq].
        qvel: generalised velocities, float64 [nv].
        target: coordinates of the goal, float64 [G]; `NO_TARGET` if the goal never moves.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Simulated states, float64. The dimensions `...` are samples and control steps.

    Attributes:
        qpos: generalised positions in SI units, [..., nq].
        qvel: generalised velocities in SI units, [..., nv].
        sensors: the task's sensors by name, [..., dim].
        controls: the control before each state, [..., A].
        target: coordinates of the goal, [G].
    """

    qpos: np.ndarray
    qvel: np.ndarray
    sensors: Mapping[str, np.ndarray]
    controls: np.ndarray
    target: np.ndarray


class ScoreFunction(Protocol):
    """Returns a score of each state of a trajectory, float64 [...]."""

    __name__: str

    def __call__(self, trajectory: Trajectory) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class ControlTask:
    """A task of the control planner: its physics, its scores and the planner's parameters.

    Attributes:
        domain: module of `dm_control.suite`.
        rebuild: returns the state, given the observation alone, so that the planner knows no more than the network that
            imitates it.
        reward: the environment's reward.
        objective: the score that plans are compared by: the reward, possibly with shaping.
        horizon: length of a plan, in control steps.
        knots: number of a plan's knots.
        samples: number of perturbed plans in a round.
        first_iterations: rounds in the first step of an episode; later replanning has one.
        replan_every: control steps between two replannings.
        noise: standard deviation of the largest perturbation.
        temperature: of the plans' softmax weights.
        physics_steps: steps of the physics in a control step.
        sensors: sensors that the scores read.
        model_arguments: arguments of the domain's `get_model_and_assets`.
        adapt: changes the domain's `mujoco.MjSpec` as the task does, or adds sensors.
        hidden: indices of qpos that the observation lacks and nothing depends on; `rebuild` sets them to zero.
        calmest: smallest perturbation as a fraction of `noise`. Below 1, some samples explore and others refine.
    """

    domain: str
    rebuild: Callable[[Observation], PhysicsState]
    reward: ScoreFunction
    objective: ScoreFunction
    horizon: int
    knots: int
    samples: int
    first_iterations: int
    replan_every: int
    noise: float
    temperature: float
    physics_steps: int = 1
    sensors: tuple[str, ...] = ()
    model_arguments: tuple[int, ...] = ()
    adapt: Callable[[Any], None] | None = None
    hidden: tuple[int, ...] = ()
    calmest: float = 1.0

    def describe(self) -> dict[str, Any]:
        """Returns the fields as plain values, functions by name, without fields that have their default value.

        Defaults are left out so that the hash of a task does not change if a field is added that it does not use.
        """
        described = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING or value != field.default:
                described[field.name] = value.__name__ if callable(value) else value
        return described


def tolerance(x: np.ndarray, margin: float) -> np.ndarray:
    """dm_control's `rewards.tolerance` with bounds (0, 0), a Gaussian and 0.1 at the margin; float64, any shape."""
    return np.exp(np.log(0.1) * np.square(x / margin))


def at_least(x: np.ndarray, bound: float, margin: float, value_at_margin: float) -> np.ndarray:
    """dm_control's linear `tolerance`: 1 from the bound on, `value_at_margin` a margin below it, never below 0."""
    shortfall = np.clip(bound - x, 0, None)
    return np.clip(1 - (1 - value_at_margin) * shortfall / margin, 0, None)


def small_control(controls: np.ndarray) -> np.ndarray:
    """dm_control's factor for small controls, [..., A]: 0.8 … 1, [...]."""
    return (4 + np.clip(1 - np.square(controls), 0, None).mean(axis=-1)) / 5


def angle(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Returns the angle of a cosine and a sine, in radians in (−π, π]."""
    return np.arctan2(np.asarray(sine, np.float64), np.asarray(cosine, np.float64))


def wrapped(radians: np.ndarray) -> np.ndarray:
    """Returns the same angles in [−π, π)."""
    return (radians + np.pi) % (2 * np.pi) - np.pi


def velocity(observation: Observation) -> np.ndarray:
    """Returns the observation's `velocity`, which in most domains is qvel, float64 [nv]."""
    return np.asarray(observation["velocity"], np.float64)


NO_TARGET = np.empty(0)
