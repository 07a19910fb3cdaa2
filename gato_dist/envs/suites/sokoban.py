"""Sokoban on Boxoban's levels: a 10×10 grid with agent (3), boxes (4), walls (1) and targets (2).

envpool ships 1000 levels and draws one by seed. The last hundred are held out: experts act only on the others.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.envs.envpool_vector import EnvpoolVector, envpool_spec, import_envpool
from gato_dist.episode import Observations
from gato_dist.ports import VectorEnv
from gato_dist.seeds import EVALUATION_START, is_training_seed
from gato_dist.specs import ActionSpec, Modality, ObservationSpec, TaskSpec
from gato_dist.tasks import TaskEntry

GRID_VALUES = 5
LEVELS = Path("jumanji/assets/boxoban/unfiltered-test.npy")  # relative to envpool's `base_path`
HELD_OUT = 100


def spec(entry: TaskEntry) -> TaskSpec:
    """Returns the spec of a task, as `gato_dist.envs.suite.Suite` says."""
    described = envpool_spec(entry, {})
    grid = described.gymnasium_observation_space["grid"]
    return TaskSpec(
        entry.name,
        (ObservationSpec("grid", Modality.DISCRETE, tuple(grid.shape), GRID_VALUES),),
        ActionSpec(Modality.DISCRETE, num_values=(int(described.gymnasium_action_space.n),)),
        described.config.max_episode_steps,
    )


def make(entry: TaskEntry, seeds: list[int], threads: int) -> VectorEnv:
    """Makes the environments, as `gato_dist.envs.suite.Suite` says."""
    # Without this path envpool does not find its levels, and serves the same trivial level forever.
    options = {"base_path": str(_levels_folder(seeds[0]))} | entry.options

    def adapt(observation: Any) -> Observations:
        return {"grid": observation["grid"]}

    return EnvpoolVector(entry.env, spec(entry), seeds, threads, options=options, adapt=adapt, success="solved")


def _levels_folder(seed: int) -> Path:
    """Returns envpool's `base_path` for a seed: a folder with the levels that this seed may draw from.

    Reference scores, from which nothing is learned, draw from all levels.
    """
    package = Path(os.path.dirname(import_envpool().__file__))
    if seed < EVALUATION_START and not is_training_seed(seed):
        return package
    name, part = ("held_out", slice(-HELD_OUT, None)) if seed >= EVALUATION_START else ("shown", slice(-HELD_OUT))
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gato_dist" / "boxoban" / name
    levels = root / LEVELS
    if not levels.is_file():
        levels.parent.mkdir(parents=True, exist_ok=True)
        partial = levels.with_name(f"{os.getpid()}.npy")
        np.save(partial, np.load(package / LEVELS)[part])
        partial.rename(levels)
    return root
