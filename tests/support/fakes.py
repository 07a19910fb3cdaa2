"""Small stand-ins for unit tests: a task with every modality, an environment that counts, a policy that echoes."""

from typing import Any

import numpy as np

from gato_dist.episode import Observations
from gato_dist.ports import Info, Policy, TimeStep
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.telemetry import LearnerReport
from gato_dist.tokens.layout import Encoding, Statistics, TaskTokenizer, Vocabulary
from gato_dist.tokens.text import TextTokenizer

ARM = TaskSpec(
    "toy/arm",
    (
        ObservationSpec("pose", Modality.CONTINUOUS, (3,)),
        ObservationSpec("camera", Modality.IMAGE, (16, 32, 3)),
        ObservationSpec("mission", Modality.TEXT),
        ObservationSpec("gripper", Modality.DISCRETE, (), 4),
    ),
    ActionSpec(Modality.CONTINUOUS, (2,), low=(-1.0, 0.0), high=(1.0, 4.0)),
    max_steps=50,
)
BUTTONS = TaskSpec(
    "toy/buttons",
    (ObservationSpec("light", Modality.DISCRETE, (), 3),),
    ActionSpec(Modality.DISCRETE, num_values=(3,)),
    max_steps=20,
)

# What `CountingEnv` shows, and what a policy that echoes it does.
COUNTED = TaskSpec(
    "toy/counted",
    (ObservationSpec("light", Modality.DISCRETE, (), 1024),),
    ActionSpec(Modality.DISCRETE, num_values=(1024,)),
    max_steps=1000,
)


def tokenizer_of(spec: TaskSpec, encoding: Encoding = "compact") -> TaskTokenizer:
    text = TextTokenizer.load()
    statistics = {
        part.name: Statistics(np.zeros(part.size), np.ones(part.size))
        for part in spec.observations
        if part.modality is Modality.CONTINUOUS
    }
    return TaskTokenizer(spec, Vocabulary(text.size, "disjoint"), text, encoding, statistics, 4)


def arm_observations(steps: int, seed: int = 0) -> Observations:
    rng = np.random.default_rng(seed)
    return {
        "pose": rng.normal(size=(steps, 3)),
        "camera": rng.integers(256, size=(steps, 16, 32, 3), dtype=np.uint8),
        "mission": ["go to the red ball" if i % 2 else "pick up a key" for i in range(steps)],
        "gripper": rng.integers(4, size=steps),
    }


def arm_actions(steps: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform([-1, 0], [1, 4], size=(steps, 2))


class CountingEnv:
    """Observation: seed·100 + step of the episode. Environment i's episodes last `lengths[i]` steps of reward 1."""

    def __init__(self, spec: TaskSpec, lengths: list[int]) -> None:
        self.spec, self.seeds, self._lengths = spec, list(range(len(lengths))), np.array(lengths)
        self._step = np.zeros(len(lengths), int)
        self._resetting = np.zeros(len(lengths), bool)

    def reset(self) -> TimeStep:
        self._step[:], self._resetting[:] = 0, False
        return self._now(np.zeros(len(self.seeds)), np.zeros(len(self.seeds), bool))

    def step(self, actions: np.ndarray) -> TimeStep:
        self._step = np.where(self._resetting, 0, self._step + 1)
        # As Meta-World does on envpool: the reset step carries a reward that is nobody's.
        rewards = np.where(self._resetting, 99.0, 1.0)
        done = ~self._resetting & (self._step >= self._lengths)
        self._resetting = done
        return self._now(rewards, done)

    def close(self) -> None:
        pass

    def _now(self, rewards: np.ndarray, done: np.ndarray) -> TimeStep:
        seen: dict[str, Any] = {"light": np.array(self.seeds) * 100 + self._step}
        return TimeStep(seen, rewards.astype(np.float32), done, np.zeros_like(done), None, {})


class EchoPolicy(Policy):
    """Acts with the observation itself, and remembers what it was asked."""

    def __init__(self) -> None:
        self.resets: list[list[int]] = []
        self.active: list[list[bool]] = []

    def reset(self, env_ids: np.ndarray) -> None:
        self.resets.append(env_ids.tolist())

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        self.active.append(active.tolist())
        return np.where(active, observations["light"], -1)

    def describe(self) -> dict[str, Any]:
        return {"name": "echo", "kind": "fake"}


def learner_report(**fields: Any) -> LearnerReport:
    """A learner's report, at zero but for `fields`."""
    zeros: dict[str, Any] = dict.fromkeys(("step", "tokens", "weights_version", "skipped"), 0)
    zeros |= dict.fromkeys(("seconds", "progress", "learning_rate", "publish_seconds"), 0.0)
    return LearnerReport(**zeros | fields)
