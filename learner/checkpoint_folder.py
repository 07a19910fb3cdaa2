"""The `checkpoints/` folder of a run: writes in the background, keeps the newest few, skips damaged ones."""

import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.scores.references import Reference
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.files import fsync, write_error_text
from learner.checkpoint import Snapshot, check_compatible

PARTIAL = ".partial"


class CheckpointFailed(RuntimeError):
    """A checkpoint could not be written."""


class CheckpointFolder:
    """The checkpoints of a run, each a folder named after its step.

    A thread writes them. If writing fails, the next call of `check`, `wait` or `save` raises its error.

    Attributes:
        root: the folder that holds the checkpoints.
        references: reference scores of the run's tasks. Every checkpoint contains them, so that any machine can score
            it.
        failures: failed writes since the last success.
    """

    def __init__(self, root: Path, keep: int, references: dict[str, Reference] | None = None) -> None:
        """Opens a folder, which need not exist.

        Args:
            root: the folder that holds the checkpoints.
            keep: number of newest checkpoints to keep.
            references: reference scores of the run's tasks, by name.
        """
        self.root, self._keep, self.references = root, keep, references or {}
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None
        self._refused: dict[Path, str] = {}
        self._valid: set[Path] = set()
        self.failures = 0

    def save(self, snapshot: Snapshot) -> None:
        """Starts writing a checkpoint; first waits for the previous one.

        The checkpoint gets its final name only when it is complete.

        Raises:
            CheckpointFailed: if the previous checkpoint could not be written.
        """
        self.wait()
        self._writing = self._writer.submit(self._write, snapshot)

    @property
    def busy(self) -> bool:
        """Whether a checkpoint is being written."""
        return self._writing is not None and not self._writing.done()

    def check(self) -> None:
        """Raises CheckpointFailed if the last write has failed. Does not wait."""
        if not self.busy:
            self.wait()

    def wait(self) -> None:
        """Waits until nothing is being written. Raises CheckpointFailed if the write failed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def newest(self) -> Path | None:
        """Returns the newest checkpoint by its name, valid or not; None if there is none."""
        return max(self._all(), default=None)

    def newest_valid(self, config: RunConfig, tokenizer: Tokenizer) -> Path | None:
        """Returns the newest checkpoint that is complete and fits the run; None if there is no checkpoint.

        Reads the whole checkpoint to verify its checksums, but only once. Skipped checkpoints are listed in `refused`.

        Raises:
            InputError: if there are checkpoints, but none is valid.
        """
        for path in sorted(self._all(), reverse=True):
            if path in self._valid:
                return path
            try:
                check_compatible(path, config, tokenizer)
            except InputError as error:
                self._refused[path] = str(error)
            else:
                self._valid.add(path)
                return path
        if self._refused:
            reasons = "; ".join(self._refused.values())
            raise InputError(f"{self.root}: no checkpoint to resume from: {reasons}; start again with another --run")
        return None

    @property
    def refused(self) -> list[str]:
        """A line for each checkpoint that was skipped: its name and the reason."""
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
        # safetensors raises its own error types if the disk is full.
        except Exception as error:
            self.failures += 1
            shutil.rmtree(partial, ignore_errors=True)
            raise CheckpointFailed(
                f"{final}: the checkpoint could not be written: {write_error_text(error)}"
            ) from error

    def _prune(self, newest: Path) -> None:
        """Deletes old checkpoints. Keeps refused ones with a later step, until the run has passed that step."""
        self._refused.pop(newest, None)
        old = sorted(path for path in self._all() if path <= newest)
        kept = set([path for path in old if path not in self._refused][-self._keep :])
        for path in [*(path for path in old if path not in kept), *self.root.glob(f"step-*{PARTIAL}")]:
            shutil.rmtree(path)


def _name(step: int) -> str:
    return f"step-{step:08d}"
