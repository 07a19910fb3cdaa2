"""Finds faults of a shard: damage, a manifest that does not match its steps, values outside the task's space."""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.value_checks import episode_faults
from replay.dataset.parquet_steps import EPISODE, GROUP_STEPS, STEP
from replay.dataset.shards import EpisodeEntry, Shard, decode_episode


def shard_faults(shard: Shard) -> list[str]:
    """Returns everything that is wrong with a shard: empty if it is valid.

    Each fault is one line that names the file, and the episode if it concerns one.
    """
    manifest, path = shard.manifest, shard.parquet
    if not manifest.entries:
        return []
    try:
        size = path.size()
        if size != manifest.bytes:
            return [f"{path}: has {size} bytes, not {manifest.bytes}: cut short or changed"]
        with path.open() as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != manifest.sha256:
                return [f"{path}: its checksum is not the manifest's: damaged or changed"]
        with path.open() as source, pq.ParquetFile(source) as steps:
            found = _layout_faults(shard, steps)
    except FileNotFoundError:
        return [f"{path}: missing"]
    except (OSError, pa.ArrowException) as error:
        return [f"{path}: cannot be read ({brief(error)})"]
    for entry in manifest.entries:
        found += [f"{path}: episode {entry.index}: {fault}" for fault in _entry_faults(shard, entry)]
    return found


def _layout_faults(shard: Shard, steps: pq.ParquetFile) -> list[str]:
    """Checks that entries cover every row group once, in order, and that no index occurs twice."""
    manifest, indices = shard.manifest, shard.manifest.indices
    found = []
    if len(set(indices)) < len(indices):
        twice = sorted({index for index in indices if indices.count(index) > 1})
        found.append(f"{shard.path}: lists episode {twice[0]} twice")
    groups = [(entry.first_group, entry.end_group) for entry in manifest.entries]
    expected, first = [], 0
    for entry in manifest.entries:
        expected.append((first, first + -(-entry.steps // GROUP_STEPS)))
        first = expected[-1][1]
    if groups != expected or first != steps.metadata.num_row_groups:
        found.append(f"{shard.path}: its episodes' lengths and row groups are not those of {shard.parquet.name}")
    return found


def _entry_faults(shard: Shard, entry: EpisodeEntry) -> list[str]:
    spec = shard.manifest.spec
    found = []
    if entry.provenance.task != spec.name:
        found.append(f"was played in {entry.provenance.task}, not {spec.name}")
    try:
        steps = shard.window(entry, 0, GROUP_STEPS * (entry.end_group - entry.first_group))
        indices, numbers = steps.column(EPISODE).to_pylist(), steps.column(STEP).to_numpy()
        episode = decode_episode(spec, entry, steps)
    except (*READ_ERRORS, pa.ArrowException, InputError) as error:
        return [*found, f"cannot be read as its task's: {brief(error)}"]
    if len(steps) != entry.steps:
        found.append(f"has {len(steps)} steps, not {entry.steps}")
    if set(indices) != {entry.index}:
        found.append("its rows are another episode's")
    if not np.array_equal(numbers, np.arange(len(steps))):
        found.append("its steps are not numbered from 0")
    expected = entry.episode_return
    if not np.isclose(episode.episode_return, expected, rtol=1e-6, atol=1e-6, equal_nan=True):
        found.append(f"returns {episode.episode_return:g}, not {expected:g}")
    return found + [str(fault) for fault in episode_faults(spec, episode)]
