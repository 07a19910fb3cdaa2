"""BabyAI's and MiniGrid's levels: a mission in words, a 7×7×3 grid of what the agent sees, and where it faces."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector, import_envpool
from gato_dist.ports import TimeStep, VectorEnv
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
    missions = _MissionCache(import_envpool().minigrid.decode_mission)

    def adapt(observation: Any) -> dict[str, Any]:
        texts = missions.read(observation["mission"], observation["elapsed_step"] == 0)
        return {"mission": texts, "direction": observation["direction"], "grid": observation["image"]}

    return _GridVector(entry.env, spec(entry), seeds, threads, entry.options, adapt, success="goal")


class _GridVector(EnvpoolVector):
    """Shows `adapt` which episodes begin."""

    def _time_step(self, observation: Any, *given: Any) -> TimeStep:
        return super()._time_step(observation | {"elapsed_step": given[-1]["elapsed_step"]}, *given)


class _MissionCache:
    """A mission stays the same for an episode: only those of new episodes are looked at.

    envpool fills 512 bytes of mission in every step, on another core: to fetch them takes longer than all else here.
    """

    def __init__(self, decode: Callable[[np.ndarray], Any]) -> None:
        self._decode = decode
        self._texts: list[str] = []
        self._known: dict[bytes, str] = {}

    def read(self, missions: np.ndarray, begins: np.ndarray) -> list[str]:
        """missions: uint8 [N, B], texts padded with zeros; begins: bool [N], true in all rows at first."""
        if begins.any():
            # Lists that were handed out stay as they are.
            self._texts = list(self._texts) or [""] * len(missions)
            for row in np.flatnonzero(begins):
                self._texts[row] = self._text(missions[row])
        return self._texts

    def _text(self, mission: np.ndarray) -> str:
        key = mission.tobytes()
        if key not in self._known:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = str(self._decode(mission))
        return self._known[key]
