"""The folder of a run: its files, and checks before a run starts or resumes."""

import json
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

from gato_dist.config.run_config import RunConfig, dump_config, load_config
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.seeds import MAX_BLOCKS
from gato_dist.utils.files import remove_partial_last_line, write_text_atomically
from gato_dist.utils.locale_support import check_path_encoding
from gato_dist.utils.locks import hold_folder, is_unused
from gato_dist.utils.typed_json import to_json

BLOCKS_PER_CLAIM = 256


class RunFolder:
    """Paths of a run's files.

    Attributes:
        root: the folder.
        checkpoints: the learner's checkpoints, and the best weights.
        replay: replay checkpoints, and files of Ray Train and Reverb.
        tensorboard: TensorBoard's event files.
        scores: scores.csv.
        cost: cost.json.
        usage: usage.json.
        quarantine: quarantine.json.
        episodes: episodes.jsonl, with the returns behind each score.
        log: log.txt.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = root / "checkpoints"
        self.replay = root / "replay"
        self.tensorboard = root / "tensorboard"
        self.scores = root / "scores.csv"
        self.cost = root / "cost.json"
        self.usage = root / "usage.json"
        self.quarantine = root / "quarantine.json"
        self.episodes = root / "episodes.jsonl"
        self.log = root / "log.txt"

    def hold(self) -> AbstractContextManager[None]:
        """Makes this process the only one that writes to the folder. Raises InputError if another one does."""
        return hold_folder(self.root)

    def check(self, config: RunConfig, resume: bool) -> None:
        """Checks that a run may start or resume in this folder; writes nothing.

        Args:
            config: of the run.
            resume: whether it continues the run in the folder.

        Raises:
            InputError: if the folder exists without `resume` or holds no run with it; or if the run in the folder has
                other tasks, tokens or another model, with the key that differs.
        """
        check_path_encoding(self.root)
        exists = (self.root / "config.yaml").exists()
        if self.root.exists() and not self.root.is_dir():
            raise InputError(f"{self.root}: is a file; give another folder with --run")
        if not resume and not is_unused(self.root):
            raise InputError(
                f"{self.root}: exists already; continue it with --resume or give another folder with --run"
            )
        if resume and not exists:
            raise InputError(f"{self.root}: no run to resume there; leave out --resume to start one")
        if resume:
            self._check_same(config, load_config(self.root / "config.yaml"))

    def open(self, config: RunConfig) -> None:
        """Makes the folder, or prepares an existing one to go on: removes what an earlier start did not finish."""
        for folder in (self.checkpoints, self.replay, self.tensorboard):
            folder.mkdir(parents=True, exist_ok=True)
        for abandoned in self.checkpoints.glob("*.partial"):
            shutil.rmtree(abandoned) if abandoned.is_dir() else abandoned.unlink()
        for path in (self.scores, self.episodes):
            remove_partial_last_line(path)
        write_text_atomically(self.root / "config.yaml", dump_config(config))

    def _check_same(self, config: RunConfig, before: RunConfig) -> None:
        names, names_before = ([task.name for task in each.tasks] for each in (config, before))
        if names != names_before:
            raise InputError(f"tasks: the run in {self.root} has {', '.join(names_before)}; resume it with those")
        if config.learner.init != before.learner.init:
            raise InputError(
                f"learner.init: the run in {self.root} began from {before.learner.init or 'new weights'}; resume it "
                f"{'with --init ' + before.learner.init if before.learner.init else 'without --init'}"
            )
        for section in ("tokens", "model"):
            new, old = getattr(config, section), getattr(before, section)
            for key in type(new).model_fields:
                if getattr(new, key) != getattr(old, key):
                    raise InputError(
                        f"{section}.{key}: {getattr(new, key)} does not fit the run in {self.root}, which has "
                        f"{getattr(old, key)}; resume it with that, or start another with --run"
                    )

    def claim_seed_blocks(self) -> range:
        """Returns seed blocks that no other process of this run ever gets, in any of its starts.

        Raises:
            InputError: if none are left, or the file that counts them is damaged or cannot be written.
        """
        path, advice = self.replay / "seed_blocks.json", "begin another run from this one's weights with --init"
        try:
            first = json.loads(path.read_text("utf-8"))["next"] if path.exists() else 0
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {brief(error)}; fix that, then --resume") from error
        except READ_ERRORS as error:
            raise InputError(f"{path}: damaged; {advice}") from error
        if not isinstance(first, int) or first < 0:
            raise InputError(f"{path}: damaged; {advice}")
        if first > MAX_BLOCKS - BLOCKS_PER_CLAIM:
            raise InputError(f"{path}: no seed blocks are left; {advice}")
        try:
            write_text_atomically(path, to_json({"next": first + BLOCKS_PER_CLAIM}))
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {brief(error)}; fix that, then --resume") from error
        return range(first, first + BLOCKS_PER_CLAIM)
