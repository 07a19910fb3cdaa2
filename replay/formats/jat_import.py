"""Imports folders in JAT's layout (`replay.formats.jat_layout`), one episode at a time.

Our own files carry the task's layout and the episodes' provenance in their footers. Those of other files are found in a
first pass over the data.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gato_dist.episode import Episode, Observations, Provenance
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.tokens.image_files import decode_channels, decode_rgb
from gato_dist.tokens.patches import fit_frames
from gato_dist.utils.files import lowercase_suffix
from gato_dist.utils.typed_json import as_numbers, read_as
from replay.dataset.writing import EpisodeStream, naming_errors
from replay.formats.jat_layout import (
    ACTION_DTYPE,
    COLUMN_TYPES,
    IMAGES,
    OUR_METADATA,
    REWARDS,
    TEXTS,
    action_column,
    observation_column,
    task_columns,
)
from replay.formats.jat_survey import Range, make_spec, widen_range

# In JAT's Atari tasks, an image of four channels holds four grey frames. In other tasks, the fourth is transparency.
ATARI_PREFIX, ATARI_SHAPE = "jat/atari-", (84, 84, 4)


def read_jat(source: str) -> Iterator[EpisodeStream]:
    """Yields the tasks in a folder. Tasks that we exported keep their names; others become `jat/<folder>`.

    Args:
        source: a folder of folders with Parquet files, or one folder with Parquet files. Files of test splits are
            left out.

    Raises:
        InputError: there is no Parquet file, or one does not have JAT's layout.
    """
    root = Path(source)
    folders: dict[Path, list[Path]] = {}
    for path in sorted(root.rglob("*")):
        if lowercase_suffix(path) == ".parquet" and not path.name.startswith("test"):
            folders.setdefault(path.parent, []).append(path)
    if not folders:
        raise InputError(f"{source}: no folder with Parquet files in JAT's layout (one row for each episode)")
    for folder, files in folders.items():
        yield _read_task(folder.resolve().name, files)


def _read_task(name: str, files: Sequence[Path]) -> EpisodeStream:
    try:
        ours = _our_metadata(files[0])
        spec = TaskSpec.from_dict(ours["spec"]) if ours else _find_spec(f"jat/{name}", files)
        return EpisodeStream(spec, naming_errors(files[0].parent, _read_episodes(spec, files)))
    except (*READ_ERRORS, pa.ArrowException) as error:
        raise InputError(f"{files[0].parent}: not in JAT's layout: {brief(error)}") from error


def _our_metadata(file: Path) -> dict[str, Any]:
    """Returns what our export wrote into a file's footer; empty for files of others."""
    footer = pq.ParquetFile(file).metadata.metadata or {}
    if OUR_METADATA not in footer:
        return {}
    metadata: dict[str, Any] = json.loads(footer[OUR_METADATA])
    return metadata


def _find_spec(task: str, files: Sequence[Path]) -> TaskSpec:
    """Finds the layout of data without metadata: sizes, and the ranges that occur. Reads all columns but images."""
    ranges: dict[str, Range] = {}
    frame_shape: tuple[int, ...] | None = None
    names: list[str] = []
    for file in files:
        names = pq.ParquetFile(file).schema_arrow.names
        if REWARDS not in names:
            raise ValueError(f"{file.name} has no column {REWARDS!r}")
        for episode in _iter_rows(file, [name for name in names if name in COLUMN_TYPES and name != IMAGES]):
            for column, cells in episode.items():
                if column not in (REWARDS, TEXTS):
                    widen_range(ranges, column, _to_numbers(cells))
        if IMAGES in names and frame_shape is None:
            first = next(_iter_rows(file, [IMAGES]))[IMAGES][:1]
            frame_shape = _decode_frames(first, task)[0].shape
    return make_spec(task, ranges, has_text=TEXTS in names, frame_shape=frame_shape)


def _iter_rows(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yields each row (an episode) as column → array of its steps. Empty cells are left out."""
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=1, columns=list(columns)):
            yield {name: batch.column(name)[0].values for name in columns if batch.column(name)[0].is_valid}


def _to_numbers(cells: Any) -> NDArray[Any]:
    """Returns [T] or [T, n] of a cell's values. Raises ValueError for steps of different lengths."""
    if not pa.types.is_list(cells.type) and not pa.types.is_fixed_size_list(cells.type):
        return np.asarray(cells.to_numpy(zero_copy_only=False))
    flat = np.asarray(cells.flatten().to_numpy(zero_copy_only=False))
    if len(set(cells.value_lengths().to_pylist())) != 1:
        raise ValueError("steps of different lengths")
    return flat.reshape(len(cells), -1)


def _read_episodes(spec: TaskSpec, files: Sequence[Path]) -> Iterator[Episode]:
    count = 0
    for file in files:
        ours = _our_metadata(file)
        for number, row in enumerate(_iter_rows(file, task_columns(spec))):
            known = ours["episodes"][number] if ours else {}
            try:
                yield _make_episode(spec, row, known=known, dtypes=ours.get("dtypes", {}), index=count)
            except (ValueError, LookupError) as error:
                raise ValueError(f"{file.name}, row {number}: {error}") from error
            count += 1


def _make_episode(
    spec: TaskSpec, row: Mapping[str, Any], *, known: Mapping[str, Any], dtypes: Mapping[str, str], index: int
) -> Episode:
    """Returns the episode of one row.

    Args:
        spec: the task's layout.
        row: column → array of the episode's steps.
        known: the episode's entry in our metadata; empty for files of others.
        dtypes: part → dtype, from our metadata.
        index: the episode's number, for files of others.
    """
    rewards = _to_numbers(row[REWARDS]).astype(np.float32)
    steps = len(rewards)
    observations: Observations = {}
    for modality in Modality:
        parts = [part for part in spec.observations if part.modality is modality]
        if parts:
            cells = row[observation_column(modality)]
            if len(cells) not in (steps, steps + 1):
                raise ValueError(f"{len(cells)} observations for {steps} rewards")
            # An observation after the last action is left out.
            observations |= _split_parts(spec.name, parts, cells[:steps], dtypes)
    flat = _to_numbers(row[action_column(spec)])
    actions = as_numbers(flat, dtypes.get(ACTION_DTYPE)).reshape(steps, *spec.action.shape)
    terminated, success = False, None
    provenance = Provenance(task=spec.name, seed=-1, policy="jat", policy_hash="", episode=index)
    if known:
        terminated = read_as(bool, known["terminated"])
        success = None if known["success"] is None else read_as(bool, known["success"])
        provenance = read_as(Provenance, known["provenance"])
    return Episode(
        observations=observations,
        actions=actions,
        targets=actions,
        rewards=rewards,
        terminated=terminated,
        success=success,
        provenance=provenance,
    )


def _split_parts(task: str, parts: Sequence[ObservationSpec], cells: Any, dtypes: Mapping[str, str]) -> Observations:
    """Returns the parts of one modality from T cells."""
    if parts[0].modality is Modality.TEXT:
        return {parts[0].name: cells.to_pylist()}
    if parts[0].modality is Modality.IMAGE:
        return {parts[0].name: _decode_frames(cells, task)}
    flat = _to_numbers(cells).reshape(len(cells), -1)
    pieces = np.split(flat, np.cumsum([part.size for part in parts])[:-1], axis=1)
    return {
        part.name: as_numbers(piece.reshape(len(cells), *part.shape), dtypes.get(part.name))
        for part, piece in zip(parts, pieces, strict=True)
    }


def _decode_frames(cells: Any, task: str) -> NDArray[np.uint8]:
    """Returns the images of T cells: uint8 [T, H, W, 3]."""
    decode = _decode_atari if task.startswith(ATARI_PREFIX) else decode_rgb
    frames = []
    for step, cell in enumerate(cells.to_pylist()):
        if not cell or not cell["bytes"]:
            raise ValueError(f"step {step}: its image holds no bytes")
        try:
            frames.append(decode(cell["bytes"]))
        except ValueError as error:
            raise ValueError(f"step {step}: its image cannot be decoded ({error})") from error
    return fit_frames(np.stack(frames))


def _decode_atari(data: bytes) -> NDArray[np.uint8]:
    """Returns the newest three of JAT's four grey Atari frames, which are the channels of one RGBA image."""
    channels = decode_channels(data)
    return channels[:, :, 1:] if channels.shape == ATARI_SHAPE else decode_rgb(data)
