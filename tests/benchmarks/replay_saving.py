"""What a replay checkpoint costs: seconds to write it, and how many rows a reader gets meanwhile.

`python -m tests.benchmarks.replay_saving --rows 6000`
"""

import argparse
import multiprocessing as mp
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from gato_dist.config.sections import ReplayConfig
from gato_dist.sequence import Sequences, SequenceShape, sequence_bytes
from replay.reverb.sampler import table_sequences
from replay.reverb.server import CheckpointSettings, ReplayServer
from replay.reverb.writer import SequenceWriter

SHAPE = SequenceShape(128, 128, 0, 0)  # a row of 128 tokens and 128 image patches


def serve(pipe: Connection, root: Path, size: int) -> None:
    """Saves whenever it is told a step, and tells the seconds that it took; ends with None."""
    config = ReplayConfig(size=size, ahead=size, min_size=8, samples_per_insert=1000.0)
    server = ReplayServer({"a": SHAPE}, config, disk=CheckpointSettings(root, 0, 1, "none"))
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
    parser.add_argument("--rows", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = mp.Pipe()
        process = mp.get_context("spawn").Process(target=serve, args=(theirs, Path(folder), words.rows))
        process.start()
        address = f"localhost:{ours.recv()}"
        fill(address, words.rows)
        stream = table_sequences(address, "a", SHAPE)
        next(stream)
        for step in range(1, words.rounds + 1):
            quiet, began = 0, time.monotonic()
            while time.monotonic() - began < 3:
                quiet += len(next(stream))
            alone = quiet / (time.monotonic() - began)
            ours.send(step)
            during, began = 0, time.monotonic()
            while not ours.poll():
                during += len(next(stream))
            beside = during / (time.monotonic() - began)
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.tfrecord")) / 2**20
            print(
                f"{words.rows} rows of {sequence_bytes(SHAPE) / 1024:.0f} KiB: {size:.0f} MiB in {ours.recv():.2f} s; "
                f"a reader got {alone:,.0f} rows/s before and {beside:,.0f} meanwhile",
                flush=True,
            )
        ours.send(None)
        process.join()


if __name__ == "__main__":
    main()
