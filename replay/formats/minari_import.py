"""Imports Minari datasets, read by Minari itself, one episode at a time.

Minari stores the observation after the last action, which our episodes do not have: it is left out.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gato_dist.envs.gymnasium_vector import SUCCESS
from gato_dist.envs.spaces import action_spec, first_action, observation_specs, read_observations
from gato_dist.episode import Episode, Provenance
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import Modality, TaskSpec
from gato_dist.utils.typed_json import as_numbers, read_as
from replay.dataset.writing import EpisodeStream, naming_errors
from replay.formats.minari_export import ACTION_DTYPE, OUR_METADATA, require_minari

# Minari 0.5.4 needs numpy 2, and so a newer Python than live runs have. But an older Minari can read its files: they
# only state in addition whether images are JPEGs.
EXTRA_VERSIONS = ("0.5.4",)


def read_minari(source: str) -> Iterator[EpisodeStream]:
    """Yields the tasks of Minari datasets. Tasks that we exported keep their names; others become `minari/<id>`.

    Args:
        source: a folder of Minari datasets, or the id of one, as `minari list local` shows it.

    Raises:
        InputError: there is no dataset, or one is damaged, of an unknown version or without spaces.
    """
    require_minari()
    for path in _find_datasets(source):
        yield _open_dataset(path)


def _find_datasets(source: str) -> list[Path]:
    from minari.storage import get_dataset_path

    root = Path(source)
    if not root.is_dir():
        root = get_dataset_path(source)
    found = [path.parent for path in sorted(root.rglob("metadata.json")) if "data_format" in _read_metadata(path)]
    if not found:
        raise InputError(
            f"{source}: neither a folder of Minari datasets nor one that is on this machine; "
            f"`minari download ID` brings one here"
        )
    return found


def _read_metadata(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text("utf-8"))
    except READ_ERRORS as error:
        raise InputError(f"{path}: cannot be read ({brief(error)})") from error
    return data if isinstance(data, dict) else {}


def _open_dataset(path: Path) -> EpisodeStream:
    """Opens one dataset. Refuses it without spaces: to find them, Minari would run code that the dataset names."""
    from minari.dataset.minari_storage import MinariStorage

    metadata = _read_metadata(path / "metadata.json")
    if "observation_space" not in metadata or "action_space" not in metadata:
        raise InputError(f"{path}: its metadata holds no spaces; only sets that do can be read")
    _check_version(path, metadata)
    try:
        storage = MinariStorage.read(path)
        spec = _make_spec(storage, metadata)
    except (*READ_ERRORS, InputError) as error:
        raise InputError(f"{path}: not a Minari dataset that can be read: {brief(error)}") from error
    return EpisodeStream(spec, naming_errors(path, _read_episodes(storage, spec, metadata)))


def _check_version(path: Path, metadata: Mapping[str, Any]) -> None:
    """Raises InputError for a dataset of a Minari version that was never tested here."""
    import minari

    version, known = metadata.get("minari_version"), sorted({*minari.supported_dataset_versions, *EXTRA_VERSIONS})
    if version not in known:
        raise InputError(
            f"{path}: made by Minari {version}; sets of {', '.join(known)} can be read. Load it with the Minari that "
            "made it, and write it again with one of these"
        )


def _make_spec(storage: Any, metadata: Mapping[str, Any]) -> TaskSpec:
    if OUR_METADATA in metadata:
        return TaskSpec.from_dict(metadata[OUR_METADATA]["spec"])
    env = json.loads(metadata.get("env_spec") or "{}")
    parts = observation_specs(storage.observation_space)
    name = f"minari/{metadata['dataset_id']}"
    return TaskSpec(name, parts, action_spec(storage.action_space), env.get("max_episode_steps") or 0)


def _reader(storage: Any, metadata: Mapping[str, Any]) -> Any:
    """Returns the storage to read episodes from. Minari up to 0.5.3 would read every image as JPEG."""
    if metadata.get("jpeg_encoding", True) or hasattr(storage, "jpeg_encoding"):
        return storage
    return type(storage)(storage.data_path, _without_images(storage.observation_space), storage.action_space)


def _without_images(space: Any) -> Any:
    """Returns the same space, with images that Minari treats as arrays."""
    from gymnasium import spaces
    from minari.dataset.minari_storage import is_image_space

    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: _without_images(each) for key, each in space.spaces.items()})
    if isinstance(space, spaces.Tuple):
        return spaces.Tuple([_without_images(each) for each in space.spaces])
    return spaces.Box(-np.inf, np.inf, space.shape, np.float32) if is_image_space(space) else space


def _read_episodes(storage: Any, spec: TaskSpec, metadata: Mapping[str, Any]) -> Iterator[Episode]:
    numbers = range(storage.total_episodes)
    episodes = _reader(storage, metadata).get_episodes(numbers)
    for index, (data, known) in enumerate(zip(episodes, storage.get_episode_metadata(numbers), strict=True)):
        yield _make_episode(spec, storage, metadata, data=data, known=known, index=index)


def _make_episode(
    spec: TaskSpec,
    storage: Any,
    metadata: Mapping[str, Any],
    *,
    data: Mapping[str, Any],
    known: Mapping[str, Any],
    index: int,
) -> Episode:
    """Returns one episode.

    Args:
        spec: the task's layout.
        storage: Minari's, for the spaces.
        metadata: of the dataset.
        data: Minari's arrays of the episode.
        known: Minari's metadata of the episode.
        index: the episode's number.
    """
    dtypes = metadata.get(OUR_METADATA, {}).get("dtypes", {})
    ours = json.loads(known[OUR_METADATA]) if OUR_METADATA in known else {}
    steps = len(data["rewards"])
    # Minari also has the observation after the last action.
    values = read_observations(storage.observation_space, data["observations"])
    observations = {name: _convert(each[:steps], dtypes.get(name)) for name, each in values.items()}
    for part in spec.observations:
        if part.name not in observations:
            raise InputError(f"{spec.name}: its observations lack {part.name!r}")
    actions = np.asarray(data["actions"])[:steps].reshape(steps, *spec.action.shape)
    if spec.action.modality is not Modality.CONTINUOUS:
        actions = actions - first_action(storage.action_space)
    actions = _convert(actions, dtypes.get(ACTION_DTYPE))
    infos = data.get("infos") or {}
    targets = infos.get("target") if ours else None
    if ours:
        success = None if ours["success"] is None else read_as(bool, ours["success"])
        provenance = read_as(Provenance, ours["provenance"])
    else:
        success, provenance = _read_success(infos), _make_provenance(spec, metadata, known, index)
    return Episode(
        observations=observations,
        actions=actions,
        targets=actions if targets is None else np.asarray(targets)[1:].astype(actions.dtype),
        rewards=np.asarray(data["rewards"], np.float32).reshape(steps),
        terminated=bool(np.any(data["terminations"])),
        success=success,
        provenance=provenance,
    )


def _convert(values: Any, dtype: str | None) -> Any:
    return as_numbers(values, dtype) if dtype and isinstance(values, np.ndarray) else values


def _read_success(infos: Mapping[str, Any]) -> bool | None:
    """Returns whether any step's info reports success; None if infos have no such key. NaN counts as no report."""
    reported: list[NDArray[np.bool_]] = [np.asarray(infos[name], np.float32) > 0 for name in SUCCESS if name in infos]
    return any(bool(each.any()) for each in reported) if reported else None


def _make_provenance(spec: TaskSpec, metadata: Mapping[str, Any], known: Mapping[str, Any], index: int) -> Provenance:
    import minari

    seed = known.get("seed")
    return Provenance(
        task=spec.name,
        seed=-1 if seed is None else int(seed),
        policy=metadata.get("algorithm_name") or "unknown",
        policy_hash="",
        episode=index,
        versions={"minari": minari.__version__},
    )
