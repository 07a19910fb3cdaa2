"""Measures the cost of a replay checkpoint: seconds to write it, and how fast a reader is meanwhile.

`python -m tests.benchmarks.replay_saving --sequences 6000`
"""

import argparse
import multiprocessing as mp
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.sequence import Sequences, SequenceShape, sequence_bytes
from replay.reverb.sampler import table_sequences
from replay.reverb.server import CheckpointSettings, ReplayServer
from replay.reverb.writer import SequenceWriter

SHAPE = SequenceShape(length=128, patches=128)  # 128 tokens and 128 image patches


def serve(pipe: Connection, root: Path, size: int) -> None:
    """Runs a server. For each step received, writes a checkpoint and sends the seconds. Ends at None."""
    config = ReplayConfig(size=size, max_sequences_ahead=size, min_size=8, samples_per_insert=1000.0)
    server = ReplayServer({"a": SHAPE}, config, checkpoints=CheckpointSettings(root, 0, 1, "none"))
    pipe.send(server.port)
    while (step := pipe.recv()) is not None:
        began = time.monotonic()
        server.save(step)
        pipe.send(time.monotonic() - began)
    server.stop()


def fill(address: str, count: int) -> None:
    random = np.random.default_rng(0)
    with SequenceWriter(address, "a", lambda: False) as writer:
        for first in range(0, count, 100):
            arrays = {
                name: random.integers(0, 200, size=(100, *dims)).astype(dtype)
                for name, (dims, dtype) in Sequences.signature(SHAPE).items()
            }
            arrays["item_id"] = np.arange(first, first + 100)
            writer.write(Sequences(**arrays))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        pipe, server_pipe = mp.Pipe()
        process = mp.get_context("spawn").Process(target=serve, args=(server_pipe, Path(folder), options.sequences))
        process.start()
        address = f"localhost:{pipe.recv()}"
        fill(address, options.sequences)
        stream = table_sequences(address, "a", SHAPE)
        next(stream)
        for step in range(1, options.rounds + 1):
            count, began = 0, time.monotonic()
            while time.monotonic() - began < 3:
                count += len(next(stream))
            before = count / (time.monotonic() - began)
            pipe.send(step)
            count, began = 0, time.monotonic()
            while not pipe.poll():
                count += len(next(stream))
            meanwhile = count / (time.monotonic() - began)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.tfrecord")) / 2**20
            seconds = pipe.recv()
            print(
                f"{options.sequences} sequences of {sequence_bytes(SHAPE) / 1024:.0f} KiB: {size:.0f} MiB in "
                f"{seconds:.2f} s; "
                f"a reader got {before:,.0f} sequences/s before and {meanwhile:,.0f} meanwhile",
                flush=True,
            )
        pipe.send(None)
        process.join()


if __name__ == "__main__":
    main()
