"""Replay tables: one Reverb table for each task and source, with its name, signature, size limits and metrics."""

import math
import sys
from typing import Any

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import SequenceShape, sequence_bytes
from gato_dist.sources import Source
from gato_dist.telemetry import TableReport
from replay.reverb.libraries import import_reverb, import_tensorflow

SEQUENCE_KEY = "row"  # the only array of an item; checkpoints on disk use this name
TableMetrics = dict[str, TableReport]  # by table


def table_name(task: str, source: Source = Source.EXPERT) -> str:
    """Returns the name of the table with a task's sequences from one source. The expert's table has the task's name."""
    return task if source is Source.EXPERT else f"{task}:{source}"


def table_task(table: str) -> str:
    """Returns the task whose sequences a table holds."""
    return table.split(":", 1)[0]


def make_table(name: str, shape: SequenceShape, config: ReplayConfig) -> Any:
    """Returns a Reverb table that samples uniformly and removes its oldest sequence when it is full.

    Sampling waits only until the table holds `min_size` sequences: later on, a slow expert must not delay the mixture.
    Inserting waits while sequences · samples_per_insert − samples is above the allowed lead · samples_per_insert.
    This limits how far experts run ahead of the learner.

    Args:
        name: the table's name.
        shape: shape of the sequences that it will hold.
        config: the table's limits.
    """
    reverb, tf = import_reverb(), import_tensorflow()
    # One uint8 array for each item: every further array costs Reverb as much as tens of thousands of bytes.
    signature = {SEQUENCE_KEY: tf.TensorSpec((sequence_bytes(shape),), tf.uint8)}
    limiter = reverb.rate_limiters.RateLimiter(
        samples_per_insert=config.samples_per_insert,
        min_size_to_sample=config.min_size,
        min_diff=-sys.float_info.max,
        max_diff=config.max_sequences_ahead * config.samples_per_insert,
    )
    return reverb.Table(
        name, reverb.selectors.Uniform(), reverb.selectors.Fifo(), config.size, limiter, signature=signature
    )


def scale_limits(config: ReplayConfig, share: float) -> ReplayConfig:
    """Returns the limits of a table on a server that holds a share of it.

    Args:
        config: the limits of the whole table.
        share: 0 … 1.
    """
    limits = {key: math.ceil(getattr(config, key) * share) for key in ("size", "max_sequences_ahead", "min_size")}
    return config.model_copy(update=limits)


def table_metrics(server_info: dict[str, Any]) -> TableMetrics:
    """Returns how many sequences each table holds, and how many were inserted and sampled so far.

    Args:
        server_info: the result of `reverb.Client.server_info`.
    """
    return {
        name: TableReport(
            size=info.current_size,
            inserted=info.rate_limiter_info.insert_stats.completed,
            sampled=info.rate_limiter_info.sample_stats.completed,
        )
        for name, info in server_info.items()
    }
