"""What a task of the planner consists of, and dm_control's shaping functions over whole arrays."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

Observation = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class PhysicsState:
    """What the physics and the reward need: qpos [nq], qvel [nv] and the goal's coordinates, target [G]."""

    qpos: np.ndarray
    qvel: np.ndarray
    target: np.ndarray


@dataclasses.dataclass(frozen=True)
class Trajectory:
    """Visited states, float64, `...` being samples and control steps.

    qpos [..., nq] and qvel [..., nv] in SI units; sensors: name -> [..., dim], those that the task names;
    controls [..., A]: what was held on the way to each state; target [G].
    """

    qpos: np.ndarray
    qvel: np.ndarray
    sensors: Mapping[str, np.ndarray]
    controls: np.ndarray
    target: np.ndarray


class ScoreFunction(Protocol):
    """Scores visited states: float64 [...]."""

    __name__: str

    def __call__(self, trajectory: Trajectory) -> np.ndarray: ...


@dataclasses.dataclass(frozen=True)
class ControlTask:
    """One task of the suite as the planner sees it; every count of steps is in control steps of the environment.

    `rebuild` must use the observation only, so that the planner sees no more than the network that imitates it.
    `reward` is the environment's own; `objective` is what plans are compared by and may add shaping to it.
    model_arguments: to the suite's `get_model_and_assets`; adapt: changes the suite's `mujoco.MjSpec` as the task does,
    or adds sensors; sensors: those that the scores read; physics_steps: of the model in a control step.
    hidden: coordinates of qpos that the observation lacks and nothing depends on; `rebuild` sets them to zero.
    calmest: the smallest perturbation of a sample over the largest, `noise`: below 1 a bundle explores and refines.
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
        """The fields as plain values, functions by name; fields with a default only where they differ from it.

        The rule about defaults keeps the content hash of a task when a field that it does not use is added.
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
    """dm_control's factor for little control: [..., A] -> 0.8 ... 1 [...]."""
    return (4 + np.clip(1 - np.square(controls), 0, None).mean(axis=-1)) / 5


def angle(cosine: np.ndarray, sine: np.ndarray) -> np.ndarray:
    """Radians in (-π, π] from a cosine and a sine."""
    return np.arctan2(np.asarray(sine, np.float64), np.asarray(cosine, np.float64))


def wrapped(radians: np.ndarray) -> np.ndarray:
    """The same angles in [-π, π)."""
    return (radians + np.pi) % (2 * np.pi) - np.pi


def velocity(observation: Observation) -> np.ndarray:
    """The part `velocity`, which in most domains is qvel [nv] itself."""
    return np.asarray(observation["velocity"], np.float64)


NO_TARGET = np.empty(0)
