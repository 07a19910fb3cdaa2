"""`gato-dist train CONFIG --data DATASET`: the learner on episodes from disk, with torch and pyarrow alone."""

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.errors import InputError
from gato_dist.ports import LearnerHost, State
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import available_references
from gato_dist.sequence import DataPosition
from gato_dist.telemetry import LearnerReport
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.training.status import Status, new_tasks
from gato_dist.training.status_view import View
from gato_dist.training.time_left import TimeLeft
from gato_dist.training.tokenizer import make_tokenizer
from gato_dist.utils.signals import Interrupt
from replay.corpora.corpus import Corpus, open_corpora
from replay.dataset.dataset import Dataset
from replay.disk_sources import data_fingerprint, disk_sources
from replay.loader import load_batches


def train_from_disk(config: RunConfig, folder: RunFolder, resume: bool, data: str | None) -> None:
    """Trains on a dataset and on corpora, and writes checkpoints; no environment is needed.

    With several `learner.workers` it starts them on this machine. Under torchrun this process is one of the workers
    that torchrun started. A resumed run goes on exactly where its newest checkpoint was written.

    Args:
        config: of the run.
        folder: new, or that of a run to resume.
        resume: whether to continue the run in the folder.
        data: path or URL of a dataset that holds all tasks; None if the configuration has no tasks, only corpora.

    Raises:
        InputError: if the configuration, a file or the machine does not allow the run.
        KeyboardInterrupt: if the run was interrupted, after a checkpoint was written.
    """
    from learner.local_workers import run_workers
    from learner.parallel import check_gpus

    if data and not config.tasks:
        raise InputError(f"--data: {data}, but the configuration has no tasks, only corpora; leave it out")
    if "WORLD_SIZE" in os.environ:
        train_worker(_with_workers(config, int(os.environ["WORLD_SIZE"])), folder, resume, data)
        return
    check_gpus(config.learner)
    if config.learner.workers == 1:
        train_worker(config, folder, resume, data)
        return
    # The launcher holds the folder only while it checks. The first worker holds it during the run, also if the
    # launcher is killed meanwhile.
    with folder.hold():
        folder.check(config, resume)
    _Data.open(config, data)
    run_workers(partial(train_worker, config, folder, resume, data), config.learner.workers)


def _with_workers(config: RunConfig, workers: int) -> RunConfig:
    plain = config.model_dump(mode="json")
    plain["learner"]["workers"] = workers
    return parse_config(plain, "torchrun")


def train_worker(config: RunConfig, folder: RunFolder, resume: bool, data: str | None) -> None:
    """Trains in one worker, which finds the others by torchrun's environment variables.

    The arguments and errors are those of `train_from_disk`.
    """
    import torch

    from learner import parallel
    from learner.checkpoint_folder import CheckpointFolder
    from learner.train import train

    with parallel.process_group(config.learner.gpu) as device, Interrupt() as interrupt, ExitStack() as stack:
        first = parallel.is_first_worker()
        if first:
            stack.enter_context(folder.hold())
            folder.check(config, resume)
        inputs = _Data.open(config, data)
        torch.set_num_threads(config.learner.threads)
        references = available_references([task.name for task in config.tasks])
        checkpoints = CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints, references)
        newest = checkpoints.newest_valid(config, inputs.tokenizer)
        _check_initial(config, inputs.tokenizer, newest)
        if first:
            folder.open(config)
        position, warning = _position(config, inputs.fingerprint(config), newest)
        batches = load_batches(
            disk_sources(config, inputs.tokenizer, inputs.dataset, inputs.corpora, seed=position.seed),
            batch=config.learner.batch,
            lanes=config.lanes,
            tensor_size=inputs.tokenizer.tensor_size,
            position=position,
            rank=parallel.rank(),
            workers=parallel.world_size(),
            loaders=config.data.loaders,
        )
        host: _WorkerHost = _WorkerHost(interrupt)
        if first:
            host = _FirstWorkerHost(interrupt, stack.enter_context(View(folder.log)), config)
        for line in filter(None, [*checkpoints.refused, warning]):
            host.note(line)
        train(
            config, inputs.tokenizer, batches=batches, host=host, folder=checkpoints, device=device, position=position
        )
        if not interrupt.requested:
            newest = checkpoints.newest()
            host.note(f"checkpoint: {newest}")
            verb = "score it with: gato-dist evaluate" if config.tasks else "use it with: gato-dist generate"
            host.note(f"{verb} {newest}")
        interrupt.check()


@dataclass(frozen=True)
class _Data:
    """All that a run reads."""

    dataset: Dataset | None
    corpora: list[Corpus]
    tokenizer: Tokenizer

    @classmethod
    def open(cls, config: RunConfig, data: str | None) -> "_Data":
        """Raises InputError if anything is missing or does not fit."""
        dataset = Dataset.open(data) if data else None
        return cls(dataset, open_corpora(config), make_tokenizer(config, dataset))

    def fingerprint(self, config: RunConfig) -> str:
        return data_fingerprint(config, self.dataset, self.corpora)


def _check_initial(config: RunConfig, tokenizer: Tokenizer, newest: Path | None) -> None:
    """Raises InputError if a new run should begin with weights that do not fit, before anything is written."""
    from learner.fine_tuning import initial_weights

    if config.learner.init and newest is None:
        initial_weights(Path(config.learner.init), config, tokenizer)


def _position(config: RunConfig, fingerprint: str, newest: Path | None) -> tuple[DataPosition, str]:
    """Returns where to begin in the data, and a line for the log if the data have changed."""
    from learner.checkpoint import data_position

    before = data_position(newest) if newest else None
    if before and before.fingerprint == fingerprint:
        return before, ""
    # Another seed, so that the order differs from that before this start.
    seed = config.seed + (int(newest.name.removeprefix("step-")) if newest else 0)
    warning = "the data are not those of the checkpoint: going on with them from their beginning" if before else ""
    return DataPosition.start(fingerprint, seed, config.lanes, len(config.weights)), warning


class _WorkerHost(LearnerHost):
    """The learner's host in a run without actors: weights go only into checkpoints. Only the first worker reports."""

    def __init__(self, interrupt: Interrupt) -> None:
        self._interrupt = interrupt

    def publish(self, version: int, step: int, weights: State) -> None: ...

    def report(self, report: LearnerReport) -> None: ...

    def saving(self, step: int) -> None: ...

    def note(self, message: str) -> None: ...

    def should_stop(self) -> bool:
        return self._interrupt.requested


class _FirstWorkerHost(_WorkerHost):
    """Shows metrics and messages in the view."""

    def __init__(self, interrupt: Interrupt, view: View, config: RunConfig) -> None:
        super().__init__(interrupt)
        self._view, self._began, self._left = view, time.monotonic(), TimeLeft()
        self._status = Status(phase="training", tasks=new_tasks(config, live=False))

    def publish(self, version: int, step: int, weights: State) -> None:
        self._status.weights_version = version

    def report(self, report: LearnerReport) -> None:
        status = self._status
        status.seconds = time.monotonic() - self._began
        status.update_learner(report)
        self._left.learned(time.monotonic(), status.progress)
        status.seconds_left = self._left.training(time.monotonic())
        for name, damaged in report.damaged.items():
            status.tasks[name].damaged = damaged
        self._view.show(status)

    def note(self, message: str) -> None:
        self._view.note(message)
