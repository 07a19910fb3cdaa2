"""Exports datasets in JAT's layout (`replay.formats.jat_layout`)."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gato_dist.episode import Episode
from gato_dist.errors import InputError, brief
from gato_dist.specs import Modality, TaskSpec
from gato_dist.tokens.image_files import encode_png
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.typed_json import to_json
from replay.dataset.dataset import Dataset
from replay.dataset.shards import Shard
from replay.dataset.writing import atomic_folder, check_unique_names, shards_with_episodes
from replay.formats.jat_layout import (
    ACTION_DTYPE,
    COLUMN_TYPES,
    IMAGE_TYPE,
    OUR_METADATA,
    REWARDS,
    has_single_choice,
    task_columns,
)


def export_jat(dataset: Dataset, out: Path) -> list[str]:
    """Writes `out`/<task>/train-….parquet, one file for each shard, and a README.md that lists them.

    Floats become float32, as in JAT. Targets are not exported, only the actions that were taken. The files' footers
    carry the task's layout and the episodes' provenance.

    Args:
        dataset: what to export.
        out: a folder, which must not exist.

    Returns:
        The names of the tasks' folders.

    Raises:
        InputError: a task has two image parts or two text parts, for which the layout has no column, or `out` exists.
    """
    shards = shards_with_episodes(dataset)
    for task in shards:
        modalities = [part.modality for part in dataset.spec(task).observations]
        for modality in (Modality.TEXT, Modality.IMAGE):
            if (count := modalities.count(modality)) > 1:
                raise InputError(f"{task}: has {count} {modality} parts; JAT's layout holds one")
    names = {task: task_file_name(task, "-") for task in shards}
    check_unique_names(names)
    with atomic_folder(out) as folder:
        for task, task_shards in shards.items():
            (folder / names[task]).mkdir()
            for number, shard in enumerate(task_shards):
                _write_file(folder / names[task] / f"train-{number:05d}-of-{len(task_shards):05d}.parquet", shard)
        configs = "".join(f"- config_name: {n}\n  data_files: {n}/train-*.parquet\n" for n in names.values())
        card = f"---\nconfigs:\n{configs}---\nEpisodes in JAT's layout, by gato_dist.\n"
        (folder / "README.md").write_text(card, "utf-8")
    return list(names.values())


def _write_file(path: Path, shard: Shard) -> None:
    spec, episodes = shard.manifest.spec, []
    columns = task_columns(spec)
    schema = pa.schema(
        [(name, _column_type(spec, name)) for name in columns], {b"huggingface": _features(spec, columns)}
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for entry in shard.manifest.entries:
            episode = shard.episode(entry)
            try:
                writer.write_table(pa.table({name: [_cell(spec, episode, name)] for name in columns}, schema))
            except (ValueError, pa.ArrowException) as error:
                raise InputError(f"{shard.parquet}: episode {entry.index} is not its task's: {brief(error)}") from error
            episodes.append(
                {"terminated": entry.terminated, "success": entry.success, "provenance": asdict(entry.provenance)}
            )
        dtypes = {part.name: str(np.asarray(episode.observations[part.name]).dtype) for part in spec.observations}
        dtypes[ACTION_DTYPE] = str(episode.actions.dtype)
        metadata = to_json({"spec": spec.to_dict(), "dtypes": dtypes, "episodes": episodes})
        writer.add_key_value_metadata({OUR_METADATA: metadata.encode()})


def _column_type(spec: TaskSpec, column: str) -> Any:
    return pa.list_(pa.int64()) if has_single_choice(spec, column) else COLUMN_TYPES[column]


def _features(spec: TaskSpec, columns: list[str]) -> bytes:
    """Returns the column types for the `datasets` library. Without them, it would show images as bytes."""

    def feature(kind: Any) -> dict[str, Any]:
        if kind == IMAGE_TYPE:
            return {"_type": "Image"}
        if pa.types.is_list(kind):
            return {"feature": feature(kind.value_type), "_type": "Sequence"}
        return {"dtype": {"float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}

    return to_json({"info": {"features": {name: feature(_column_type(spec, name)) for name in columns}}}).encode()


def _cell(spec: TaskSpec, episode: Episode, column: str) -> Any:
    """Returns an episode's values for one column."""
    if column == REWARDS:
        return episode.rewards
    if column.endswith("_actions"):
        flat = episode.actions.reshape(len(episode), -1)
        return flat[:, 0].astype(np.int64) if has_single_choice(spec, column) else _step_arrays(flat)
    modality = Modality(column.removesuffix("_observations"))
    values = [episode.observations[part.name] for part in spec.observations if part.modality is modality]
    if modality is Modality.TEXT:
        return values[0]
    if modality is Modality.IMAGE:
        return [{"bytes": encode_png(frame), "path": None} for frame in np.asarray(values[0])]
    return _step_arrays(np.concatenate([np.asarray(each).reshape(len(episode), -1) for each in values], axis=1))


def _step_arrays(values: NDArray[Any]) -> list[NDArray[Any]]:
    """[T, n] as T arrays [n] of int64 or float32."""
    return list(values.astype(np.int64 if np.issubdtype(values.dtype, np.integer) else np.float32))
