"""Compares bytes and time of frames in a dataset with PNG files: python -m tests.benchmarks.frames"""

import io
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from actors.evaluate import play_expert
from gato_dist.envs.registry import task_spec
from gato_dist.seeds import reference_seeds
from replay.dataset.shards import Shard, write_shard

TASKS = ("ale/pong", "ale/ms-pacman", "procgen/coinrun")


def main() -> None:
    for task in TASKS:
        episode = next(play_expert(task, reference_seeds(1), "random"))
        frames = episode.observations["image"]
        png = 0
        for frame in frames:
            out = io.BytesIO()
            Image.fromarray(frame).save(out, "png")
            png += len(out.getvalue())
        with TemporaryDirectory() as folder:
            path = Path(folder) / "000000"
            began = time.perf_counter()
            write_shard(path, task_spec(task), {0: episode})
            written = time.perf_counter()
            shard = Shard(path.with_suffix(".json"))
            shard.episode(shard.manifest.entries[0])
            read = time.perf_counter()
            size = path.with_suffix(".parquet").stat().st_size
        count = len(episode)
        print(
            f"{task:16} {count:5} steps: {size / count:6.0f} bytes per step ({png / size:.1f} × less than PNGs: "
            f"{png / count:.0f}), written in {1e6 * (written - began) / count:.0f} µs, read in "
            f"{1e6 * (read - written) / count:.0f} µs"
        )


if __name__ == "__main__":
    main()
