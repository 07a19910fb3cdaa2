"""A replay server in this process: restored from a checkpoint if there is a usable one, and saved to new ones."""

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gato_dist.config.process_sections import ReplayConfig
from gato_dist.errors import InputError, brief
from gato_dist.sequence import SequenceShape
from replay.reverb.checkpoints import (
    NewestItemIds,
    ReplayCheckpoints,
    TableSettings,
    check_checkpoint,
    newest_item_ids,
    save_checkpoint,
)
from replay.reverb.libraries import import_reverb
from replay.reverb.starting import admit, start_server
from replay.reverb.tables import TableMetrics, table_metrics

INFO_SECONDS = 5
NEWEST = -1  # restore the newest checkpoint


@dataclass(frozen=True)
class CheckpointSettings:
    """Where a server keeps its checkpoints, and which one it restores.

    Attributes:
        root: folder on the server's machine for the checkpoints of all servers.
        shard: the server's number.
        keep: how many of the newest checkpoints are kept.
        tokenizer: the tokenizer's fingerprint.
        step: step of the learner's checkpoint that the run continues from: replay's checkpoint of that step is
            restored, or the newest usable one before it. NEWEST: the newest one. None: tables start empty.
    """

    root: Path
    shard: int
    keep: int
    tokenizer: str
    step: int | None = None

    @property
    def checkpoints(self) -> ReplayCheckpoints:
        return ReplayCheckpoints(self.root / "checkpoints", self.shard, self.keep)

    @property
    def scratch(self) -> Path:
        """The folder that Reverb writes to. Reverb deletes what it finds there."""
        return self.root / f"reverb-{self.shard}"

    @property
    def candidates(self) -> list[Path]:
        """The checkpoints to restore, the best first."""
        if self.step is None:
            return []
        if self.step == NEWEST:
            return self.checkpoints.up_to(None)
        # Replay's checkpoint takes longer than the learner's: a run may have died between the two.
        return self.checkpoints.up_to(self.step) or [self.checkpoints.path(self.step)]


class ReplayServer:
    """A Reverb server with checkpoints.

    Args:
        shapes, config, networks, shares: as `start_server`.
        checkpoints: where checkpoints are kept; None for a server without any.

    Attributes:
        began: one line that says which checkpoint was restored, and why others were not; "" for a new server.
        covered: the newest item ids in the restored checkpoint, by table and seed block.

    Raises:
        InputError: the configured port is in use.
        RuntimeError: the kernel cannot block other machines.
    """

    def __init__(
        self,
        shapes: Mapping[str, SequenceShape],
        config: ReplayConfig,
        *,
        networks: Sequence[str] = (),
        shares: Mapping[str, float] | None = None,
        checkpoints: CheckpointSettings | None = None,
    ) -> None:
        self.began = ""
        self.covered: NewestItemIds = {}
        self._checkpoints = checkpoints
        start = partial(start_server, shapes, config, networks, shares=shares)
        if checkpoints is None:
            self._server = start()
        else:
            whole = dict.fromkeys(shapes, 1.0)
            self._settings = TableSettings.of(checkpoints.tokenizer, shapes, config, shares or whole)
            self._server = self._restore(checkpoints, start)
        self._client = self._server.localhost_client()

    def _restore(self, checkpoints: CheckpointSettings, start: Callable[..., Any]) -> Any:
        """Starts from a checkpoint, or with empty tables if none is usable: actors can play the lost episodes again."""
        shutil.rmtree(checkpoints.scratch, ignore_errors=True)
        checkpoints.scratch.mkdir(parents=True)
        checkpointer = import_reverb().platform.checkpointers_lib.DefaultCheckpointer
        make = partial(checkpointer, str(checkpoints.scratch))
        refused: list[str] = []
        for path in checkpoints.candidates:
            try:
                check_checkpoint(path, self._settings)
            except InputError as error:
                refused.append(brief(error))
                continue
            try:
                server = start(checkpointer=make(fallback_checkpoint_path=str(path)))
            except (RuntimeError, ValueError) as error:
                refused.append(brief(error))
                continue
            self.covered = newest_item_ids(path)
            self.began = "; ".join([f"from the checkpoint of {path.parent.name}", *refused])
            return server
        if refused:
            self.began = f"empty, replay refills: {'; '.join(refused)}"
        return start(checkpointer=make())

    @property
    def port(self) -> int:
        return int(self._server.port)

    def metrics(self) -> TableMetrics:
        """Returns the metrics of the server's tables.

        Raises:
            reverb.errors.DeadlineExceededError: the server does not answer.
        """
        return table_metrics(self._client.server_info(timeout=INFO_SECONDS))

    def admit(self, networks: Sequence[str]) -> None:
        """Sets which networks can reach the server, as `replay.reverb.starting.admit`."""
        admit(self._server, networks)

    def save(self, step: int) -> NewestItemIds:
        """Writes a checkpoint that belongs to the learner's checkpoint of this step.

        Returns:
            The newest item ids that it holds, by table and seed block.

        Raises:
            RuntimeError: Reverb could not write it.
            OSError: the disk is full or not writable.
        """
        assert self._checkpoints is not None
        checkpoints = self._checkpoints.checkpoints
        save_checkpoint(self._client, self._settings, checkpoints.path(step))
        checkpoints.prune(step)
        return newest_item_ids(checkpoints.path(step))

    def stop(self) -> None:
        """Stops the server and deletes its scratch folder. Its checkpoints stay."""
        self._server.stop()
        if self._checkpoints is not None:
            shutil.rmtree(self._checkpoints.scratch, ignore_errors=True)
