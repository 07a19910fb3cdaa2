"""The folder of a collection: how dataset.json says it is made, which shards exist, and which are deleted."""

import json
from typing import Any

from actors.experts.registry import check_expert, merged_options
from gato_dist.config.data_sections import TaskConfig
from gato_dist.datasets.collect_plan import CollectionGoal, ShardSummary
from gato_dist.datasets.collect_request import CollectionPolicy, CollectionRequest
from gato_dist.errors import InputError, brief
from gato_dist.tasks import task_entry
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.typed_json import to_json
from replay.dataset.dataset import FORMAT, SETTINGS, read_settings, read_shards
from replay.dataset.shards import Manifest
from replay.dataset.storage import Location

PER_TASK = ("experts", "min_returns")
# Keys of a task's configuration that decide what its expert does; the others are about learning.
EXPERT_KEYS = ("expert", "expert_options", "demonstration_steps", "noise", "noise_steps")


def collection_settings(
    request: CollectionRequest, policy: CollectionPolicy, min_returns: dict[str, float]
) -> dict[str, Any]:
    """Returns what dataset.json says about how a collection is made, without how much is wanted.

    Raises:
        InputError: if a task's expert is unknown, or a user's own expert cannot be loaded.
    """
    experts = {} if policy.checkpoint else {task.name: _expert_settings(task) for task in policy.tasks}
    settings = {
        "format": FORMAT,
        "policy": policy.name,
        "checkpoint": policy.checkpoint_card,
        "seed": request.seed,
        "min_fraction": request.min_fraction,
        "min_returns": min_returns,
        "experts": experts,
    }
    # As the file is read again: lists for tuples, strings for keys.
    plain: dict[str, Any] = json.loads(to_json(settings))
    return plain


def _expert_settings(task: TaskConfig) -> dict[str, Any]:
    """What demonstrates a task, in the keys of a configuration."""
    check_expert(task)
    entry = task_entry(task.name)
    options = merged_options(entry, task.expert, task.expert_options)
    settings = task.model_dump(mode="json", include=set(EXPERT_KEYS))
    return settings | {"expert": task.expert or entry.expert, "expert_options": options}


class CollectionFolder:
    """The files of one collection. Other collections may write into the same folder at the same time."""

    def __init__(self, out: Location, settings: dict[str, Any]) -> None:
        """Names the folder; nothing is read or written yet.

        Args:
            out: the folder as the user named it.
            settings: how this collection is made, from `collection_settings`.
        """
        self.root, self._out, self._settings = out.absolute(), out, settings

    def check(self) -> dict[str, Any]:
        """Returns the settings in the folder; empty if the folder is new.

        Raises:
            InputError: if the folder holds something else or a dataset that is made in another way.
        """
        try:
            # Listed before the settings are looked for: another collection may create both at this moment.
            taken = self.root.exists() and (not self.root.is_folder() or self.root.glob("*") or self.root.glob("*/*"))
            if (self.root / SETTINGS).exists():
                before = read_settings(self.root)
                self._check_same(before)
                return before
        except OSError as error:
            raise InputError(f"{self._out}: cannot be read ({brief(error)})") from error
        if taken:
            raise InputError(f"{self._out}: exists already and is not a dataset; give another --out")
        return {}

    def check_option_paths(self, tasks: list[str]) -> None:
        """Checks the names of the tasks' folders, which an older version or the user may have chosen otherwise.

        Raises:
            InputError: if a task is in a folder of another name: the task would be played again.
        """
        manifests: dict[str, Location] = {}
        for path in self.root.glob("*/*.json"):
            manifests.setdefault(path.parent.name, path)
        for folder in manifests.keys() - {task_file_name(task) for task in tasks}:
            task = Manifest.load(manifests[folder]).spec.name
            if task in tasks:
                expected = task_file_name(task)
                raise InputError(f"{self.root / folder}: holds {task}, whose folder must be {expected}; rename it")

    def write_settings(self, tasks: list[str], goal: CollectionGoal) -> None:
        """Writes how the dataset is made and how much is wanted, together with what the folder says already.

        Raises:
            InputError: as `check`, and if the folder cannot be written to.
        """
        try:
            before = self.check()
            settings = _merged(before, self._settings, tasks, goal)
            if settings != before:
                (self.root / SETTINGS).write_text(to_json(settings, indent=1) + "\n")
        except OSError as error:
            raise InputError(f"{self._out}: cannot be written to ({brief(error)})") from error

    def goal_of(self, task: str) -> CollectionGoal:
        """Returns the most that any collection into this folder wants of a task."""
        settings = read_settings(self.root)
        return CollectionGoal(settings["episodes"].get(task, 0), settings["steps"].get(task, 0))

    def shards_of(self, task: str) -> list[ShardSummary]:
        """Returns the task's shards that exist.

        Raises:
            InputError: if a shard is damaged, or was not written by a collection.
        """
        shards = read_shards(self._folder(task).glob("*.json"))
        for shard in shards:
            known = shard.manifest.indices
            if not known or known != list(range(known[0], known[-1] + 1)) or shard.path.name != f"{known[0]:06d}.json":
                raise InputError(f"{shard.path}: not written by a collection: its episodes do not match its name")
        return [ShardSummary.of(shard.manifest) for shard in shards]

    def delete(self, task: str, surplus: list[int]) -> None:
        """Deletes a task's shards that begin with these episodes, and files of writers that were killed."""
        folder = self._folder(task)
        for first in surplus:
            # The manifest first: without its manifest, a shard does not exist.
            (folder / f"{first:06d}.json").unlink()
            (folder / f"{first:06d}.parquet").unlink()
        folder.delete_stale_partials()

    def _folder(self, task: str) -> Location:
        return self.root / task_file_name(task)

    def _check_same(self, before: dict[str, Any]) -> None:
        for key, value in self._settings.items():
            old = before[key]
            if key in PER_TASK:
                different = [task for task in value.keys() & old.keys() if value[task] != old[task]]
                if not different:
                    continue
                key, value, old = f"{key} of {different[0]}", value[different[0]], old[different[0]]
            if old != value:
                raise InputError(f"{self._out}: was collected with {key} {old!r}, not {value!r}; give another --out")


def _merged(before: dict[str, Any], settings: dict[str, Any], tasks: list[str], goal: CollectionGoal) -> dict[str, Any]:
    merged = before | settings
    for key in PER_TASK:
        merged[key] = before.get(key, {}) | settings[key]
    for key, count in (("episodes", goal.episodes), ("steps", goal.steps)):
        wanted = before.get(key, {})
        merged[key] = wanted | {task: max(count, wanted.get(task, 0)) for task in tasks if count}
    return merged
