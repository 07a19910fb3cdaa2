"""Exports datasets as Minari datasets, one for each task, written by Minari itself.

Minari stores the observation after the last action, which our episodes do not have. The last observation is repeated in
its place, and the metadata say so.
"""

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.episode import Episode, Provenance
from gato_dist.errors import InputError, brief
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import to_json
from replay.dataset.dataset import Dataset
from replay.dataset.shards import Shard
from replay.dataset.writing import check_unique_names, shards_with_episodes

OUR_METADATA = "gato_dist"  # key of our own data in Minari's metadata
ACTION_DTYPE = " action"  # key among the names of parts, which never contain a space


def require_minari() -> None:
    """Checks that Minari is installed.

    Raises:
        InputError: it is not; the message names the extra to install.
    """
    try:
        import h5py  # noqa: F401
        import minari  # noqa: F401
    except ImportError as error:
        raise InputError("Minari is not installed; install it with: pip install 'gato-dist[minari]'") from error


def minari_id(task: str) -> str:
    """Returns a task's Minari id: `metaworld/reach-v3` becomes `metaworld/reach-v3-v0`.

    Minari's ids end in a version and contain no dots or colons.
    """
    kept = "".join(c if c.isalnum() or c in "/_-" else "_" for c in task)
    return f"{kept}-v0"


def export_minari(dataset: Dataset, out: Path) -> list[str]:
    """Writes a Minari dataset for each task. An interrupted export leaves no incomplete one.

    Args:
        dataset: what to export.
        out: a folder: the value of MINARI_DATASETS_PATH to load the result with.

    Returns:
        The ids of the new datasets.

    Raises:
        InputError: a dataset of that id exists, or Minari cannot store the task.
    """
    require_minari()
    out = out.absolute()  # Minari would append a relative path to itself
    shards = shards_with_episodes(dataset)
    ids = {task: minari_id(task) for task in shards}
    check_unique_names(ids)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for name in ids.values():
            locks.enter_context(hold_file(out / name.replace("/", ".")))
            if (out / name).exists():
                raise InputError(f"{out / name}: exists already; give another --out")
        for task, name in ids.items():
            _export_task(task, name, shards[task], out)
    return list(ids.values())


def _export_task(task: str, name: str, shards: Sequence[Shard], out: Path) -> None:
    partial = out / f".{name.replace('/', '.')}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _write_task(name, shards, partial / "data")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        partial.rename(out / name)
    except (ValueError, OSError) as error:
        raise InputError(f"{task}: cannot be written by Minari: {brief(error)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for parent in (out / name).parents[: name.count("/")]:
        (parent / "namespace_metadata.json").write_text("{}", "utf-8")


def _write_task(name: str, shards: Sequence[Shard], path: Path) -> None:
    import minari
    from minari.dataset.minari_storage import MinariStorage

    spec = shards[0].manifest.spec
    first = shards[0].episode(shards[0].manifest.entries[0])
    arrays = [part for part in spec.observations if part.modality is not Modality.TEXT]
    dtypes = {part.name: str(np.asarray(first.observations[part.name]).dtype) for part in arrays}
    dtypes[ACTION_DTYPE] = str(first.actions.dtype)
    storage = MinariStorage.new(
        path, _observation_space(spec, shards, dtypes), _action_space(spec, dtypes[ACTION_DTYPE])
    )
    policies = sorted({entry.provenance.policy for shard in shards for entry in shard.manifest.entries})
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": minari.__version__,
            "algorithm_name": ", ".join(policies),
            "description": f"{spec.name}, exported by gato_dist. The last observation of every episode is a copy of "
            "the one before: the observation after the last action was not kept. Images are channels first.",
            OUR_METADATA: {"spec": spec.to_dict(), "dtypes": dtypes, "final_observation": "copy of the one before"},
        }
    )
    done = 0
    for shard in shards:
        entries = shard.manifest.entries
        storage.update_episodes(_episode_buffer(spec, shard.episode(entry)) for entry in entries)
        metadata = [{OUR_METADATA: _episode_metadata(entry.success, entry.provenance)} for entry in entries]
        storage.update_episode_metadata(metadata, range(done, done + len(entries)))
        done += len(entries)


def _episode_metadata(success: bool | None, provenance: Provenance) -> str:
    return to_json({"success": success, "provenance": asdict(provenance)})


def _episode_buffer(spec: TaskSpec, episode: Episode) -> Any:
    """Returns an episode as Minari's EpisodeBuffer."""
    from minari.data_collector.episode_buffer import EpisodeBuffer

    last = np.arange(len(episode)) == len(episode) - 1
    observations: dict[str, Any] = {}
    for part in spec.observations:
        _set_nested(observations, part.name, _repeat_last(part, episode.observations[part.name]))
    # Minari's infos start with the one of the reset.
    infos = {"target": np.concatenate([episode.targets[:1], episode.targets])}
    if np.array_equal(episode.actions, episode.targets):
        infos = {}
    # Minari's annotations are for lists, but it accepts arrays.
    rewards: Any = episode.rewards
    terminations: Any = last & episode.terminated
    truncations: Any = last & (not episode.terminated)
    return EpisodeBuffer(
        seed=episode.provenance.seed if episode.provenance.seed >= 0 else None,
        observations=observations,
        actions=episode.actions if spec.action.modality is Modality.CONTINUOUS else episode.actions.astype(np.int64),
        rewards=rewards,
        terminations=terminations,
        truncations=truncations,
        infos=infos,
    )


def _set_nested(tree: dict[str, Any], name: str, value: Any) -> None:
    """Stores the value of a part such as `body/speed` in nested dicts."""
    *path, leaf = name.split("/")
    for key in path:
        tree = tree.setdefault(key, {})
    tree[leaf] = value


def _repeat_last(part: ObservationSpec, values: Any) -> Any:
    """Returns T + 1 values of a part: the last one is repeated.

    Minari would compress images and small grids as JPEG. So images become channels first, and grids int64.
    """
    if part.modality is Modality.TEXT:
        return [*values, values[-1]]
    array = np.concatenate([values, values[-1:]])
    if part.modality is Modality.IMAGE:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array.astype(np.int64) if part.modality is Modality.DISCRETE else array


def _observation_space(spec: TaskSpec, shards: Sequence[Shard], dtypes: dict[str, str]) -> Any:
    from gymnasium import spaces

    tree: dict[str, Any] = {}
    for part in spec.observations:
        if part.modality is Modality.TEXT:
            length, letters = _text_limits(part.name, shards)
            space: Any = spaces.Text(max(length, 1), min_length=0, charset="".join(sorted(letters)) or " ")
        elif part.modality is Modality.IMAGE:
            space = spaces.Box(0, 255, (part.shape[2], *part.shape[:2]), np.uint8)
        elif part.modality is Modality.DISCRETE:
            counts = np.full(part.shape, part.num_values)
            space = spaces.MultiDiscrete(counts) if part.shape else spaces.Discrete(part.num_values)
        else:
            space = spaces.Box(-np.inf, np.inf, part.shape, np.dtype(dtypes[part.name]).type)
        _set_nested(tree, part.name, space)
    return _nested_space(tree)


def _nested_space(tree: dict[str, Any]) -> Any:
    from gymnasium import spaces

    return spaces.Dict({key: _nested_space(each) if isinstance(each, dict) else each for key, each in tree.items()})


def _text_limits(name: str, shards: Sequence[Shard]) -> tuple[int, set[str]]:
    """Returns the length of the longest text and all letters: Minari's text space needs them."""
    longest, letters = 0, set[str]()
    for shard in shards:
        for entry in shard.manifest.entries:
            for text in set(shard.episode(entry).observations[name]):
                longest, letters = max(longest, len(text)), letters | set(text)
    return longest, letters


def _action_space(spec: TaskSpec, dtype: str) -> Any:
    from gymnasium import spaces

    action = spec.action
    if action.modality is Modality.CONTINUOUS:
        low, high = (np.reshape(np.array(bound, dtype), action.shape) for bound in (action.low, action.high))
        return spaces.Box(low, high, action.shape, np.dtype(dtype).type)
    if not action.shape:
        return spaces.Discrete(action.num_values[0])
    return spaces.MultiDiscrete(np.reshape(action.num_values, action.shape))
