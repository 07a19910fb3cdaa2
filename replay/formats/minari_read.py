"""Minari's datasets as ours, read by Minari itself, an episode at a time.

Minari keeps the observation after the last action, which our episodes do not: it is left out.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gato_dist.envs.gymnasium_vector import SUCCESS
from gato_dist.envs.spaces import action_spec, first_action, observation_specs, read_observations
from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.errors import DAMAGED, InputError, brief
from gato_dist.specs import ActionSpec, Modality, TaskSpec
from gato_dist.utils.typed_json import as_numbers, read_as
from replay.dataset.writing import Source, naming
from replay.formats.minari_write import ACTION, OURS, require_minari

# 0.5.4 needs numpy 2, and so a newer Python than live runs; its files say besides whether pictures are JPEGs.
ALSO_READ = ("0.5.4",)


def minari_sources(source: str) -> Iterator[Source]:
    """Every Minari dataset in a folder, or the one of an id, as `minari list local` shows it.

    Tasks that we exported come back under their own names, others as `minari/<id>`. Raises InputError.
    """
    require_minari()
    for path in _data_paths(source):
        yield _source(path)


def _data_paths(source: str) -> list[Path]:
    from minari.storage import get_dataset_path

    root = Path(source)
    if not root.is_dir():
        root = get_dataset_path(source)
    found = [path.parent for path in sorted(root.rglob("metadata.json")) if "data_format" in _metadata(path)]
    if not found:
        raise InputError(
            f"{source}: neither a folder of Minari datasets nor one that is on this machine; "
            f"`minari download ID` brings one here"
        )
    return found


def _metadata(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except DAMAGED as error:
        raise InputError(f"{path}: cannot be read ({brief(error)})") from error
    return data if isinstance(data, dict) else {}


def _source(path: Path) -> Source:
    """Raises InputError for a set without spaces: to find them, Minari would run the code that the set names."""
    from minari.dataset.minari_storage import MinariStorage

    metadata = _metadata(path / "metadata.json")
    if "observation_space" not in metadata or "action_space" not in metadata:
        raise InputError(f"{path}: its metadata holds no spaces; only sets that do can be read")
    _check_version(path, metadata)
    try:
        found = MinariStorage.read(path)
        spec = _spec(found, metadata)
    except (*DAMAGED, InputError) as error:
        raise InputError(f"{path}: not a Minari dataset that can be read: {brief(error)}") from error
    return Source(spec, naming(path, _episodes(found, spec, metadata)))


def _check_version(path: Path, metadata: dict[str, Any]) -> None:
    """Raises InputError for a set of a Minari whose files nobody here has seen."""
    import minari

    made, read = metadata.get("minari_version"), sorted({*minari.supported_dataset_versions, *ALSO_READ})
    if made not in read:
        raise InputError(
            f"{path}: made by Minari {made}; sets of {', '.join(read)} can be read. Load it with the Minari that made "
            "it, and write it again with one of these"
        )


def _reader(found: Any, metadata: dict[str, Any]) -> Any:
    """The storage to read episodes from: up to 0.5.3, Minari takes every picture for a JPEG."""
    if metadata.get("jpeg_encoding", True) or hasattr(found, "jpeg_encoding"):
        return found
    return type(found)(found.data_path, _no_jpegs(found.observation_space), found.action_space)


def _no_jpegs(space: Any) -> Any:
    """The same space, with pictures that Minari takes for arrays."""
    from gymnasium import spaces
    from minari.dataset.minari_storage import is_image_space

    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _no_jpegs(each) for key, each in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_no_jpegs(each) for each in space.spaces])
    return spaces.Box(-np.inf, np.inf, space.shape, np.float32) if is_image_space(space) else space


def _spec(found: Any, metadata: dict[str, Any]) -> TaskSpec:
    if OURS in metadata:
        return TaskSpec.from_dict(metadata[OURS]["spec"])
    env = json.loads(metadata.get("env_spec") or "{}")
    parts = observation_specs(found.observation_space)
    return TaskSpec(
        f"minari/{metadata['dataset_id']}", parts, action_spec(found.action_space), env.get("max_episode_steps") or 0
    )


def _episodes(found: Any, spec: TaskSpec, metadata: dict[str, Any]) -> Iterator[Episode]:
    import minari

    dtypes = metadata.get(OURS, {}).get("dtypes", {})
    source = Provenance(
        spec.name, -1, metadata.get("algorithm_name") or "unknown", "", versions={"minari": minari.__version__}
    )
    numbers = range(found.total_episodes)
    read = zip(_reader(found, metadata).get_episodes(numbers), found.get_episode_metadata(numbers), strict=True)
    for index, (data, known) in enumerate(read):
        count = len(data["rewards"])
        # Minari keeps what was seen after the last action as well.
        values = read_observations(found.observation_space, data["observations"])
        observations = {name: _as(each[:count], dtypes.get(name)) for name, each in values.items()}
        infos = data.get("infos") or {}
        actions = _actions(spec.action, found.action_space, data["actions"], count, dtypes)
        aims = infos.get("target")
        targets = actions if aims is None or OURS not in known else np.asarray(aims)[1:].astype(actions.dtype)
        ours = json.loads(known[OURS]) if OURS in known else {}
        success = _success(infos) if not ours else None if ours["success"] is None else read_as(bool, ours["success"])
        provenance = read_as(Provenance, ours["provenance"]) if ours else _numbered(source, known, index)
        rewards = np.asarray(data["rewards"], np.float32).reshape(count)
        ended = bool(np.any(data["terminations"]))
        yield Episode(_checked(spec, observations), actions, targets, rewards, ended, success, provenance)


def _checked(spec: TaskSpec, observations: Observations) -> Observations:
    for part in spec.observations:
        if part.name not in observations:
            raise InputError(f"{spec.name}: its observations lack {part.name!r}")
    return observations


def _actions(spec: ActionSpec, space: Any, values: Any, count: int, dtypes: dict[str, str]) -> np.ndarray:
    dtype = dtypes.get(ACTION)
    array = np.asarray(values)[:count].reshape(count, *spec.shape)
    return _as(array if spec.modality is Modality.CONTINUOUS else array - first_action(space), dtype)


def _as(values: Any, dtype: str | None) -> Any:
    return as_numbers(values, dtype) if dtype and isinstance(values, np.ndarray) else values


def _success(infos: dict[str, Any]) -> bool | None:
    """Whether any step's info tells of success; NaN stands for steps that tell nothing."""
    told = [np.asarray(infos[name], np.float32) > 0 for name in SUCCESS if name in infos]
    return any(each.any() for each in told) if told else None


def _numbered(source: Provenance, known: dict[str, Any], index: int) -> Provenance:
    seed = known.get("seed")
    return Provenance(
        source.task, -1 if seed is None else int(seed), source.policy, source.policy_hash, index, -1, source.versions
    )
