"""BabyAI's and MiniGrid's levels: a mission as text, the agent's 7×7×3 view, and the direction that it faces."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector, envpool_spec, import_envpool
from gato_dist.ports import Array, TimeStep, VectorEnv
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

# minigrid's object types, colours and door states are all below this.
GRID_VALUES = 11
ACTIONS = 7
MISSION_CACHE_SIZE = 4096


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a level, as `gato_dist.envs.suite.Suite` says.

    BabyAI's levels draw a limit for each episode, hence `max_steps` is 0 there.
    """
    return TaskSpec(
        entry.name,
        (
            ObservationSpec("mission", Modality.TEXT),
            ObservationSpec("direction", Modality.DISCRETE, (), 4),
            ObservationSpec("grid", Modality.DISCRETE, (7, 7, 3), GRID_VALUES),
        ),
        ActionSpec(Modality.DISCRETE, num_values=(ACTIONS,)),
        envpool_spec(entry, {}).config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""
    missions = _MissionCache(import_envpool().minigrid.decode_mission)

    def adapt(observation: Any) -> dict[str, Any]:
        texts = missions.read(observation["mission"], observation["elapsed_step"] == 0)
        return {"mission": texts, "direction": observation["direction"], "grid": observation["image"]}

    return _GridVector(entry.env, spec(entry), seeds, threads, options=entry.options, adapt=adapt, success="goal")


class _GridVector(EnvpoolVector):
    """Adds `elapsed_step` to the observation, so that `adapt` knows which episodes begin."""

    def _time_step(
        self, observation: Any, rewards: Array, terminated: Array, truncated: Array, info: dict[str, Any]
    ) -> TimeStep:
        observation = observation | {"elapsed_step": info["elapsed_step"]}
        return super()._time_step(observation, rewards, terminated, truncated, info)


class _MissionCache:
    """Decodes missions when episodes begin, since a mission does not change during an episode.

    envpool writes 512 bytes of mission in every step, on another core. Reading them in every step would take longer
    than everything else here.
    """

    def __init__(self, decode: Callable[[Array], Any]) -> None:
        self._decode = decode
        self._texts: list[str] = []
        self._decoded: dict[bytes, str] = {}

    def read(self, missions: Array, begins: Array) -> list[str]:
        """Returns the missions of all environments as text.

        Args:
            missions: uint8 [N, B], texts padded with zeros.
            begins: bool [N], which episodes begin; all of them in the first call.
        """
        if begins.any():
            # A new list, since callers keep the lists that were returned before.
            self._texts = list(self._texts) or [""] * len(missions)
            for i in np.flatnonzero(begins):
                self._texts[i] = self._text(missions[i])
        return self._texts

    def _text(self, mission: Array) -> str:
        key = mission.tobytes()
        if key not in self._decoded:
            if len(self._decoded) >= MISSION_CACHE_SIZE:
                self._decoded.clear()
            self._decoded[key] = str(self._decode(mission))
        return self._decoded[key]
