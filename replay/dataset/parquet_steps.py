"""The steps of episodes as Parquet columns: one row for each step, and row groups of `GROUP_STEPS` steps."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from gato_dist.episode import Episode, Observations
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.specs import Modality, ObservationSpec, TaskSpec
from gato_dist.utils.typed_json import as_numbers
from replay.dataset.storage import Location

GROUP_STEPS = 64  # the least that is read for one window
EPISODE, STEP, ACTION, TARGET, REWARD = "episode", "step", "action", "target", "reward"
OBSERVATION = "observation."  # prefix of a part's column


def encode_steps(spec: TaskSpec, index: int, episode: Episode) -> pa.Table:
    """Returns an episode's steps as a table.

    Args:
        spec: the task's layout.
        index: the episode's index in the dataset.
        episode: T steps.

    Returns:
        T rows: episode int64, step int32 (from 0), one column for each part of the observation, action, target, and
        reward float32. Images are uint8 bytes, arrays are lists of fixed size (row-major).

    Raises:
        KeyError: the episode lacks a part.
    """
    count = len(episode)
    columns: dict[str, Any] = {EPISODE: np.full(count, index, np.int64), STEP: np.arange(count, dtype=np.int32)}
    for part in spec.observations:
        columns[OBSERVATION + part.name] = _encode_part(part, episode.observations[part.name])
    columns[ACTION], columns[TARGET] = _encode_array(episode.actions), _encode_array(episode.targets)
    columns[REWARD] = episode.rewards.astype(np.float32)
    return pa.table(columns)


def decode_steps(spec: TaskSpec, steps: pa.Table) -> tuple[Observations, NDArray[Any], NDArray[Any]]:
    """Returns observations, actions and targets of T steps.

    Args:
        spec: the task's layout.
        steps: T rows, as `encode_steps` makes them.

    Returns:
        Observations, each part [T, …]; actions and targets [T, *action shape].

    Raises:
        KeyError: a column is missing.
        ValueError: a column has another shape than the task's.
    """
    observations: Observations = {
        part.name: _decode_part(part, steps.column(OBSERVATION + part.name)) for part in spec.observations
    }
    actions, targets = (_decode_array(steps.column(name), spec.action.shape) for name in (ACTION, TARGET))
    return observations, actions, targets


def decode_rewards(steps: pa.Table) -> NDArray[Any]:
    """Returns the rewards [T]. Raises KeyError or ValueError as `decode_steps`."""
    return _decode_array(steps.column(REWARD), ())


def read_groups(parquet: Location, groups: Iterable[int]) -> pa.Table:
    """Reads row groups of a shard's Parquet file, and no other steps.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with parquet.open() as source, pq.ParquetFile(source) as file:
            return file.read_row_groups(list(groups), use_threads=False)
    except (*READ_ERRORS, pa.ArrowException) as error:
        raise InputError(f"{parquet}: cannot be read ({brief(error)})") from error


def _encode_part(part: ObservationSpec, values: Any) -> Any:
    if part.modality is Modality.TEXT:
        return pa.array(values, pa.string())
    if part.modality is Modality.IMAGE:
        # Whole frames, uncompressed: under zstd, a row group of them takes less than half the size of its PNGs.
        # Not binary of a fixed size, which the `datasets` library cannot open.
        frames = np.ascontiguousarray(values, np.uint8)
        starts = np.arange(len(frames) + 1, dtype=np.int64) * part.size
        return pa.Array.from_buffers(pa.large_binary(), len(frames), [None, pa.py_buffer(starts), pa.py_buffer(frames)])
    return _encode_array(np.asarray(values))


def _encode_array(values: NDArray[Any]) -> Any:
    """[T] becomes a plain column, [T, …] lists of fixed size, row-major."""
    if values.ndim == 1:
        return pa.array(values)
    flat = np.ascontiguousarray(values).reshape(len(values), -1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), flat.shape[1])


def _decode_part(part: ObservationSpec, column: pa.ChunkedArray) -> Any:
    if part.modality is Modality.TEXT:
        return column.to_pylist()
    if part.modality is Modality.IMAGE:
        whole = column.combine_chunks()
        _, starts, pixels = whole.buffers()
        offsets = np.frombuffer(starts, np.int64, len(whole) + 1, 8 * whole.offset)
        if not (np.diff(offsets) == part.size).all():
            raise ValueError(f"{part.name} holds images of another size than {part.shape}")
        return np.frombuffer(pixels, np.uint8, len(whole) * part.size, offsets[0]).reshape(len(whole), *part.shape)
    return _decode_array(column, part.shape)


def _decode_array(column: pa.ChunkedArray, shape: tuple[int, ...]) -> NDArray[Any]:
    whole = column.combine_chunks()
    flat = whole.flatten() if isinstance(whole, pa.FixedSizeListArray) else whole
    return as_numbers(flat.to_numpy(zero_copy_only=False)).reshape(len(whole), *shape)
