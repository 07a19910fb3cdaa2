"""The folder of a run: what lies where, and who may write into it."""

import json
from pathlib import Path

from gato_dist.config import RunConfig, dump_config
from gato_dist.errors import InputError

# Far more blocks than a run starts expert actors.
BLOCKS_PER_START = 4096


class RunFolder:
    """`root` with config.yaml, checkpoints/, replay/, tensorboard/, scores.csv, report.html and log.txt."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.replay = root / "replay"
        self.tensorboard = root / "tensorboard"
        self.scores = root / "scores.csv"
        self.log = root / "log.txt"

    def open(self, config: RunConfig, resume: bool) -> None:
        """Makes the folder, or takes up the one that is there.

        Raises InputError where it exists without `resume`, or does not with it, or holds a run of other tasks.
        """
        exists = (self.root / "config.yaml").exists()
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; give another folder with --run")
        if self.root.exists() and any(self.root.iterdir()) and not resume:
            raise InputError(
                f"{self.root}: exists already; continue it with --resume or give another folder with --run"
            )
        if resume and not exists:
            raise InputError(f"{self.root}: no run to resume there; leave out --resume to start one")
        for folder in (self.checkpoints, self.replay, self.tensorboard):
            folder.mkdir(parents=True, exist_ok=True)
        partial = self.root / "config.yaml.partial"
        partial.write_text(dump_config(config))
        partial.rename(self.root / "config.yaml")

    def claim_seed_blocks(self) -> int:
        """First of the seed blocks of this start; no later start of the run gets them again."""
        path = self.replay / "seed_blocks.json"
        first = json.loads(path.read_text())["next"] if path.exists() else 0
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"next": first + BLOCKS_PER_START}))
        partial.rename(path)
        return first
