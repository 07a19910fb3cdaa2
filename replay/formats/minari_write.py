"""Datasets as Minari's: one Minari dataset a task, written by Minari itself.

Minari keeps the observation after the last action, which our episodes do not: the last one is repeated in its place,
and the metadata says so.
"""

import shutil
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
from replay.dataset.episodes import Shard
from replay.dataset.writing import check_distinct, kept_shards

OURS = "gato_dist"  # the key of our own metadata in Minari's
ACTION = " action"  # beside the parts, whose names hold no space


def require_minari() -> None:
    """Raises InputError that names the extra to install."""
    try:
        import h5py  # noqa: F401
        import minari  # noqa: F401
    except ImportError as error:
        raise InputError("Minari is not installed; install it with: pip install 'gato-dist[minari]'") from error


def export_minari(dataset: Dataset, out: Path) -> list[str]:
    """Writes a Minari dataset for each task below `out`, the value of MINARI_DATASETS_PATH to load them with.

    Returns their ids. Every one of them appears whole or not at all. Raises InputError where one is there already.
    """
    require_minari()
    out = out.absolute()  # Minari adds a relative path to itself
    held = kept_shards(dataset)
    ids = {task: minari_id(task) for task in held}
    check_distinct(ids)
    out.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for name in ids.values():
            locks.enter_context(hold_file(out / name.replace("/", ".")))
            if (out / name).exists():
                raise InputError(f"{out / name}: is there already; give another --out")
        for task, name in ids.items():
            _export_whole(task, name, held[task], out)
    return list(ids.values())


def _export_whole(task: str, name: str, shards: list[Shard], out: Path) -> None:
    partial = out / f".{name.replace('/', '.')}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _export(name, shards, partial / "data")
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        partial.rename(out / name)
    except (ValueError, OSError) as error:
        raise InputError(f"{task}: cannot be written by Minari: {brief(error, limit=None)}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    for parent in (out / name).parents[: name.count("/")]:
        (parent / "namespace_metadata.json").write_text("{}", "utf-8")


def minari_id(task: str) -> str:
    """`metaworld/reach-v3` is `metaworld/reach-v3-v0`: Minari's ids end in a version, and hold no dots or colons."""
    kept = "".join(c if c.isalnum() or c in "/_-" else "_" for c in task)
    return f"{kept}-v0"


def _export(name: str, shards: list[Shard], path: Path) -> None:
    import minari
    from minari.dataset.minari_storage import MinariStorage

    spec = shards[0].manifest.spec
    first = shards[0].episode(shards[0].manifest.entries[0])
    dtypes = {part.name: str(np.asarray(first.observations[part.name]).dtype) for part in _arrays(spec)}
    dtypes[ACTION] = str(first.actions.dtype)
    storage = MinariStorage.new(path, _observation_space(spec, shards, dtypes), _action_space(spec, dtypes[ACTION]))
    policies = sorted({entry.provenance.policy for shard in shards for entry in shard.manifest.entries})
    storage.update_metadata(
        {
            "dataset_id": name,
            "minari_version": minari.__version__,
            "algorithm_name": ", ".join(policies),
            "description": f"{spec.name}, exported by gato_dist. The last observation of every episode is a copy of "
            "the one before: what was seen after the last action was not kept. Pictures are channels first.",
            OURS: {"spec": spec.to_dict(), "dtypes": dtypes, "final_observation": "copy of the one before"},
        }
    )
    done = 0
    for shard in shards:
        entries = shard.manifest.entries
        storage.update_episodes(_buffer(spec, shard.episode(entry)) for entry in entries)
        known = [{OURS: _known(entry.success, entry.provenance)} for entry in entries]
        storage.update_episode_metadata(known, range(done, done + len(entries)))
        done += len(entries)


def _known(success: bool | None, provenance: Provenance) -> str:
    return to_json({"success": success, "provenance": asdict(provenance)})


def _buffer(spec: TaskSpec, episode: Episode) -> Any:
    from minari.data_collector.episode_buffer import EpisodeBuffer

    ends = np.arange(len(episode)) == len(episode) - 1
    observations: dict[str, Any] = {}
    for part in spec.observations:
        *path, leaf = part.name.split("/")
        inside = observations
        for key in path:
            inside = inside.setdefault(key, {})
        inside[leaf] = _one_more(part, episode.observations[part.name])
    same = np.array_equal(episode.actions, episode.targets)
    # Minari's infos begin with that of the reset.
    infos = {} if same else {"target": np.concatenate([episode.targets[:1], episode.targets])}
    return EpisodeBuffer(
        seed=episode.provenance.seed if episode.provenance.seed >= 0 else None,
        observations=observations,
        actions=episode.actions if spec.action.modality is Modality.CONTINUOUS else episode.actions.astype(np.int64),
        rewards=episode.rewards,  # type: ignore[arg-type]
        terminations=ends & episode.terminated,  # type: ignore[arg-type]
        truncations=ends & (not episode.terminated),  # type: ignore[arg-type]
        infos=infos,
    )


def _one_more(part: ObservationSpec, values: Any) -> Any:
    """With the last repeated. Minari would make JPEGs of pictures and of small grids: neither reaches it as such."""
    if part.modality is Modality.TEXT:
        return [*values, values[-1]]
    array = np.concatenate([values, values[-1:]])
    if part.modality is Modality.IMAGE:
        return np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    return array.astype(np.int64) if part.modality is Modality.DISCRETE else array


def _arrays(spec: TaskSpec) -> list[ObservationSpec]:
    return [part for part in spec.observations if part.modality is not Modality.TEXT]


def _observation_space(spec: TaskSpec, shards: list[Shard], dtypes: dict[str, str]) -> Any:
    from gymnasium import spaces

    tree: dict[str, Any] = {}
    for part in spec.observations:
        *path, leaf = part.name.split("/")
        inside = tree
        for key in path:
            inside = inside.setdefault(key, {})
        if part.modality is Modality.TEXT:
            length, letters = _texts(part.name, shards)
            inside[leaf] = spaces.Text(max(length, 1), min_length=0, charset="".join(sorted(letters)) or " ")
        elif part.modality is Modality.IMAGE:
            inside[leaf] = spaces.Box(0, 255, (part.shape[2], *part.shape[:2]), np.uint8)
        elif part.modality is Modality.DISCRETE:
            counts = np.full(part.shape, part.num_values)
            inside[leaf] = spaces.MultiDiscrete(counts) if part.shape else spaces.Discrete(part.num_values)
        else:
            inside[leaf] = spaces.Box(-np.inf, np.inf, part.shape, np.dtype(dtypes[part.name]).type)
    return _nested(tree)


def _nested(tree: dict[str, Any]) -> Any:
    from gymnasium import spaces

    return spaces.Dict({key: _nested(each) if isinstance(each, dict) else each for key, each in tree.items()})


def _texts(name: str, shards: list[Shard]) -> tuple[int, set[str]]:
    """The longest text's length and all letters, which Minari's space of texts must know."""
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
