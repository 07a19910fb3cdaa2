"""A dataset on disk: a folder with `dataset.json` and, for each task, a folder of shards."""

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import TaskSpec
from gato_dist.utils.typed_json import read_as
from replay.dataset.shards import Manifest, Shard
from replay.dataset.storage import Location

FORMAT = "gato_dist dataset 1"
SETTINGS = "dataset.json"
# How a dataset was made, for keys that its dataset.json lacks.
# policy: `expert`, `random`, `gato`, or the program that made it. checkpoint: Gato's. min_fraction, min_returns: the
# limits below which episodes were dropped. experts: the expert of each task. episodes, steps: how many are wanted of
# each task.
DEFAULTS: dict[str, Any] = {
    "policy": None,
    "checkpoint": None,
    "seed": None,
    "min_fraction": None,
    "min_returns": {},
    "experts": {},
    "episodes": {},
    "steps": {},
}
PARALLEL_READS = 16  # manifests


@dataclass(frozen=True)
class Dataset:
    """A dataset's shards.

    Attributes:
        root: the dataset's folder.
        settings: how it was made, from dataset.json.
        shards: task → its shards.
    """

    root: Location
    settings: dict[str, Any]
    shards: dict[str, list[Shard]]

    @classmethod
    def open(cls, where: str | Path | Location) -> "Dataset":
        """Reads dataset.json and every manifest.

        Raises:
            InputError: there is no dataset, or a file is damaged.
        """
        root = Location.of(where)
        settings = read_settings(root)
        shards: dict[str, list[Shard]] = {}
        for shard in read_shards(root.glob("*/*.json")):
            shards.setdefault(shard.manifest.spec.name, []).append(shard)
        return cls(root, settings, shards)

    def spec(self, task: str) -> TaskSpec:
        """Returns a task's layout.

        Raises:
            InputError: the dataset does not hold the task.
        """
        if task not in self.shards:
            raise InputError(f"{self.root}: holds no {task}; it has {', '.join(self.shards) or 'no episode yet'}")
        return self.shards[task][0].manifest.spec

    def manifests(self, task: str) -> list[Manifest]:
        """Returns the manifests of a task's shards."""
        return [shard.manifest for shard in self.shards[task]]


def read_shards(manifests: Sequence[Location]) -> list[Shard]:
    """Reads shards' manifests in parallel: on remote storage, each takes a while.

    Raises:
        InputError: a manifest is damaged.
    """
    with ThreadPoolExecutor(PARALLEL_READS) as pool:
        return list(pool.map(Shard, manifests))


def read_settings(where: str | Path | Location) -> dict[str, Any]:
    """Reads dataset.json.

    Returns:
        Every key of `DEFAULTS`, and further keys of the file.

    Raises:
        InputError: the file is missing, damaged or of another format.
    """
    root = Location.of(where)
    path = root / SETTINGS
    try:
        settings: dict[str, Any] = json.loads(path.read_text())
        if settings["format"] != FORMAT:
            raise InputError(f"{path}: format {settings['format']!r}, this version reads {FORMAT!r}")
        for key in ("episodes", "steps"):
            settings[key] = read_as(dict[str, int], settings.get(key, {}))
        for key in ("min_returns", "experts"):
            settings[key] = read_as(dict[str, Any], settings.get(key, {}))
        settings["checkpoint"] = read_as(dict[str, Any] | None, settings.get("checkpoint"))  # type: ignore[arg-type]
        settings["min_fraction"] = read_as(float | None, settings.get("min_fraction"))  # type: ignore[arg-type]
        return DEFAULTS | settings
    except READ_ERRORS as error:
        raise InputError(f"{root}: no dataset there: {SETTINGS} is missing or damaged ({brief(error)})") from error
