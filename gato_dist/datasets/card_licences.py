"""The licences of the environments that a dataset's episodes come from, for the dataset's card."""

import re

from gato_dist.datasets.card_sections import inline
from replay.dataset.summary import TaskSummary

# As each suite's repository states them. Whoever publishes a dataset must check them.
LICENCES = {
    "ale": "Arcade Learning Environment: GPL-2.0; the games' images belong to their publishers",
    "babyai": "BabyAI and MiniGrid: Apache-2.0 (BabyAI's first release: BSD-3-Clause)",
    "dm_control": "dm_control and MuJoCo: Apache-2.0",
    "gymnasium": "Gymnasium: MIT; the named environment has its own licence",
    "jat": "imported from a dataset in JAT's layout: that dataset's and its environments' own licences",
    "manipulation": "dm_control and MuJoCo: Apache-2.0; the models of robots: their makers' licences",
    "metaworld": "Meta-World: MIT; MuJoCo: Apache-2.0",
    "minari": "imported from Minari: that dataset's and its environment's own licences",
    "minigrid": "MiniGrid: Apache-2.0",
    "mujoco": "Gymnasium's MuJoCo environments: MIT; MuJoCo: Apache-2.0",
    "procgen": "Procgen: MIT; its images: see the list of assets in its repository",
    "sokoban": "Jumanji: Apache-2.0; DeepMind's Boxoban levels: Apache-2.0",
    "vizdoom": "ViZDoom: MIT; the ZDoom engine and Freedoom's images have their own licences",
}
VARIANT = re.compile(r"_(?:hard|extended|pixels)$")


def licences(tasks: list[TaskSummary]) -> str:
    """Returns the card's section on licences: what the publisher must choose, and what is known of each suite."""
    lines = [
        "**To be completed before you share this dataset**: choose a licence for the data (`license` above) that the",
        "terms of the environments and policies allow. These terms are known; check each of them before you publish:",
        "",
    ]
    for suite in sorted({task.spec.suite for task in tasks}):
        known = LICENCES.get(suite) or LICENCES.get(VARIANT.split(suite)[0])
        lines.append(f"- {inline(suite)}: {known or 'unknown; name its licence here'}")
    return "\n".join(lines)
