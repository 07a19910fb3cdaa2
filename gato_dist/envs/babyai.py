"""BabyAI's and MiniGrid's levels: a mission in words, a 7×7×3 grid of what the agent sees, and where it faces."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_dist.envs.vector import EnvpoolVector, import_envpool
from gato_dist.ports import VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

# minigrid's object types, colours and door states all stay below this.
GRID_VALUES = 11
ACTIONS = 7
REMEMBERED = 4096  # missions


def spec(entry: TaskEntry) -> TaskSpec:
    """BabyAI's levels draw their own limits, episode by episode: `max_steps` is 0 there."""
    made = import_envpool().make_spec(entry.env, **entry.options)
    return TaskSpec(
        entry.name,
        (
            ObservationSpec("mission", Modality.TEXT),
            ObservationSpec("direction", Modality.DISCRETE, (), 4),
            ObservationSpec("grid", Modality.DISCRETE, (7, 7, 3), GRID_VALUES),
        ),
        ActionSpec(Modality.DISCRETE, num_values=(ACTIONS,)),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    missions = _Missions(import_envpool().minigrid.decode_mission)

    def adapt(observation: Any) -> dict[str, Any]:
        texts = missions.read(observation["mission"])
        return {"mission": texts, "direction": observation["direction"], "grid": observation["image"]}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, entry.options, adapt, success="goal")


class _Missions:
    """A mission stays the same for an episode: only rows that changed are decoded."""

    def __init__(self, decode: Callable[[np.ndarray], Any]) -> None:
        self._decode = decode
        self._seen: np.ndarray | None = None
        self._texts: list[str] = []
        self._known: dict[bytes, str] = {}

    def read(self, missions: np.ndarray) -> list[str]:
        """uint8 [N, B], texts padded with zeros."""
        if self._seen is None:
            changed, self._texts = np.arange(len(missions)), [""] * len(missions)
        else:
            changed = np.flatnonzero((missions != self._seen).any(axis=1))
        if len(changed):
            # Lists that were handed out stay as they are.
            self._texts = list(self._texts)
            for row in changed:
                self._texts[row] = self._text(missions[row])
            self._seen = missions.copy()
        return self._texts

    def _text(self, mission: np.ndarray) -> str:
        key = mission.tobytes()
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = str(self._decode(mission))
        return self._known[key]
