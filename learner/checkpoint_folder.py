"""The `checkpoints/` of a run: written in the background, the newest few kept, the damaged passed over."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.scores.references import Reference
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.files import fsync, write_error_text
from learner.checkpoint import Snapshot, check_fits

PARTIAL = ".partial"


class CheckpointFailed(RuntimeError):
    """A checkpoint could not be written."""


class CheckpointFolder:
    """One folder a checkpoint, the newest `keep` of them.

    One thread writes; what it raised is raised by the next call of `check`, `wait` or `save`.
    references: of the run's tasks, kept in every checkpoint, which can then be scored on any machine.
    """

    def __init__(self, root: Path, keep: int, references: dict[str, Reference] | None = None) -> None:
        self.root, self._keep, self.references = root, keep, references or {}
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._refused: dict[Path, str] = {}
        self._sound: set[Path] = set()
        self.failures = 0  # to write one, since the last that was written

    def save(self, snapshot: Snapshot) -> None:
        """Begins to write a checkpoint; waits for the one before. Its final name is of a whole one."""
        self.wait()
        self._writing = self._writer.submit(self._write, snapshot)

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    def check(self) -> None:
        """Raises CheckpointFailed where the last write did. Does not wait."""
        if not self.busy:
            self.wait()

    def wait(self) -> None:
        """Until nothing is being written. Raises CheckpointFailed where that failed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def newest(self) -> Path | None:
        """The newest one by its name, whole or not."""
        return max(self._all(), default=None)

    def newest_whole(self, config: RunConfig, tokenizer: Tokenizer) -> Path | None:
        """The newest one that is whole and fits the run; None where there is no checkpoint.

        Reads all of it, once. Those that it passes over stand in `refused`. Raises InputError where none is left.
        """
        for path in sorted(self._all(), reverse=True):
            if path in self._sound:
                return path
            try:
                check_fits(path, config, tokenizer)
            except InputError as error:
                self._refused[path] = str(error)
            else:
                self._sound.add(path)
                return path
        if self._refused:
            reasons = "; ".join(self._refused.values())
            raise InputError(f"{self.root}: no checkpoint to resume from: {reasons}; start anew with another --run")
        return None

    @property
    def refused(self) -> list[str]:
        """A line for each checkpoint that was passed over: which, and why."""
        return [f"checkpoint {path.name} refused: {reason}" for path, reason in self._refused.items()]

    def _all(self) -> list[Path]:
        return [path for path in self.root.glob("step-*") if path.suffix != PARTIAL]

    def _write(self, snapshot: Snapshot) -> None:
        final = self.root / _name(snapshot.counters.step)
        partial, before = (final.with_name(final.name + end) for end in (PARTIAL, f".before{PARTIAL}"))
        try:
            for path in (partial, before):
                shutil.rmtree(path, ignore_errors=True)
            partial.mkdir(parents=True)
            snapshot.write(partial)
            if final.exists():
                final.rename(before)
            partial.rename(final)
            fsync(self.root)
            self._prune(final)
            self.failures = 0
        # safetensors raises errors of its own for a disk that is full.
        except Exception as error:
            self.failures += 1
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointFailed(
                f"{final}: the checkpoint could not be written: {write_error_text(error)}"
            ) from error

    def _prune(self, newest: Path) -> None:
        """Keeps what was refused and lies ahead: the run has not come so far again."""
        self._refused.pop(newest, None)
        old = sorted(path for path in self._all() if path <= newest)
        kept = set([path for path in old if path not in self._refused][-self._keep :])
        for path in [*(path for path in old if path not in kept), *self.root.glob(f"step-*{PARTIAL}")]:
            shutil.rmtree(path)


def _name(step: int) -> str:
    return f"step-{step:08d}"
