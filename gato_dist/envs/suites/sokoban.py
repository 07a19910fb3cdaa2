"""Sokoban from Boxoban's levels: a 10×10 grid, whose cells tell agent (3) and box (4), wall (1) and target (2).

envpool ships 1000 levels and draws one by seed. The last hundred are held out: experts show the others alone.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector, import_envpool
from gato_dist.episode import Observations
from gato_dist.ports import VectorEnv
from gato_dist.seeds import EVALUATION_START, teaches
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

GRID_VALUES = 5
LEVELS = Path("jumanji/assets/boxoban/unfiltered-test.npy")  # below the path that envpool is given
HELD_OUT = 100


def spec(entry: TaskEntry) -> TaskSpec:
    made = import_envpool().make_spec(entry.env, **entry.options)
    grid = made.gymnasium_observation_space["grid"]
    return TaskSpec(
        entry.name,
        (ObservationSpec("grid", Modality.DISCRETE, tuple(grid.shape), GRID_VALUES),),
        ActionSpec(Modality.DISCRETE, num_values=(int(made.gymnasium_action_space.n),)),
        made.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    # envpool finds its levels only below this path, and else serves a single trivial one for ever.
    options = {"base_path": str(_levels(seeds[0]))} | entry.options

    def adapt(observation: Any) -> Observations:
        return {"grid": observation["grid"]}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, options, adapt, success="solved")


def _levels(seed: int) -> Path:
    """Where the levels lie that the world `seed` draws from; reference scores, which teach nobody, draw from all."""
    whole = Path(os.path.dirname(import_envpool().__file__))
    if seed < EVALUATION_START and not teaches(seed):
        return whole
    name, part = ("held_out", slice(-HELD_OUT, None)) if seed >= EVALUATION_START else ("shown", slice(-HELD_OUT))
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gato_dist" / "boxoban" / name
    levels = root / LEVELS
    if not levels.is_file():
        levels.parent.mkdir(parents=True, exist_ok=True)
        partial = levels.with_name(f"{os.getpid()}.npy")
        np.save(partial, np.load(whole / LEVELS)[part])
        partial.rename(levels)
    return root
