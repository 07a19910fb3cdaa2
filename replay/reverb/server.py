"""A replay server of this process: Reverb's, begun from a checkpoint where there is a sound one, and saved."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gato_dist.config.sections import ReplayConfig
from gato_dist.errors import InputError, brief
from gato_dist.sequence import SequenceShape
from gato_dist.telemetry import TableReport
from replay.reverb.checkpoints import ReplayCheckpoints, Tables, check, newest_rows, save
from replay.reverb.tables import admit, import_reverb, start_server, table_metrics

INFO_SECONDS = 5
NEWEST = -1


@dataclass(frozen=True)
class Disk:
    """Where a server's tables are kept: in `root`, of this machine, the newest `keep` of its checkpoints.

    tokenizer: its fingerprint. step: of the learner's checkpoint to begin from, for replay's own of that step or the
    newest whole one before it; NEWEST for the newest; None for empty tables.
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
        """Where Reverb writes, and deletes what it finds."""
        return self.root / f"reverb-{self.shard}"

    @property
    def beginnings(self) -> list[Path]:
        """What to begin from, the best first."""
        if self.step is None:
            return []
        if self.step == NEWEST:
            return self.checkpoints.until(None)
        # A run may have died after the learner's checkpoint and before replay's, which is slower.
        return self.checkpoints.until(self.step) or [self.checkpoints.place(self.step)]


class ReplayServer:
    """The same arguments as `start_server`. began: what it holds from before, in words; "" where nothing. covered: the
    rows of that (`newest_rows`).

    Raises InputError where its port is taken, RuntimeError where the kernel does not keep others off.
    """

    def __init__(
        self,
        shapes: dict[str, SequenceShape],
        config: ReplayConfig,
        networks: Sequence[str] = (),
        shares: dict[str, float] | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._disk, self.began = disk, ""
        self.covered: dict[str, dict[int, int]] = {}
        start = partial(start_server, shapes, config, networks, shares)
        if disk is None:
            self._server = start()
        else:
            self._tables = Tables.of(disk.tokenizer, shapes, config, shares or dict.fromkeys(shapes, 1.0))
            self._server = self._begin(disk, start)
        self._client = self._server.localhost_client()

    def _begin(self, disk: Disk, start: Callable[..., Any]) -> Any:
        """From a checkpoint, or with empty tables where none is fit: what is lost can be played again."""
        shutil.rmtree(disk.scratch, ignore_errors=True)
        disk.scratch.mkdir(parents=True)
        make = partial(import_reverb().platform.checkpointers_lib.DefaultCheckpointer, str(disk.scratch))
        refused: list[str] = []
        for begin in disk.beginnings:
            try:
                check(begin, self._tables)
            except InputError as error:
                refused.append(brief(error))
                continue
            try:
                server = start(checkpointer=make(fallback_checkpoint_path=str(begin)))
            except (RuntimeError, ValueError) as error:
                refused.append(brief(error))
            else:
                self.covered = newest_rows(begin)
                self.began = "; ".join([f"from the checkpoint of {begin.parent.name}", *refused])
                return server
        if refused:
            self.began = f"empty, replay refills: {'; '.join(refused)}"
        return start(checkpointer=make())

    @property
    def port(self) -> int:
        return self._server.port

    def metrics(self) -> dict[str, TableReport]:
        """Of its tables (`table_metrics`). Raises reverb.errors.DeadlineExceededError where it does not answer."""
        return table_metrics(self._client.server_info(timeout=INFO_SECONDS))

    def admit(self, networks: Sequence[str]) -> None:
        admit(self._server, networks)

    def save(self, step: int) -> dict[str, dict[int, int]]:
        """Writes its tables beside the learner's checkpoint of this step; the rows that are kept there (`newest_rows`).

        Raises RuntimeError or OSError.
        """
        assert self._disk is not None
        checkpoints = self._disk.checkpoints
        save(self._client, self._tables, checkpoints.place(step))
        checkpoints.prune(step)
        return newest_rows(checkpoints.place(step))

    def stop(self) -> None:
        self._server.stop()
        if self._disk is not None:
            shutil.rmtree(self._disk.scratch, ignore_errors=True)
