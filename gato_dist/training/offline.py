"""`gato-dist train CONFIG --data DATASET`: the learner on episodes from disk, with torch and pyarrow alone."""

import os
import re
import time
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.errors import InputError
from gato_dist.ports import State
from gato_dist.records.run_folder import RunFolder
from gato_dist.scores.references import known_references, load_reference
from gato_dist.sequence import DataPosition
from gato_dist.telemetry import LearnerReport
from gato_dist.tokens.fitting import fitting_tokenizer
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.training.status import Status, new_tasks
from gato_dist.training.status_view import View
from gato_dist.training.time_left import TimeLeft
from gato_dist.utils.signals import Interrupt
from replay.corpora.chunks import Corpus, open_corpora
from replay.dataset.dataset import Dataset
from replay.dataset.moments import load_moments
from replay.disk_sources import data_fingerprint, disk_sources
from replay.loader import load_batches


def train_from_disk(config: RunConfig, folder: RunFolder, resume: bool, data: str | None) -> None:
    """Trains on the tasks as `data` holds them and on the corpora, and writes checkpoints; nothing is played.

    data: a dataset, or None where the configuration has no tasks.
    With several `learner.workers` it starts them on this machine; under torchrun it is one of as many as there are.
    Resumed, it goes on exactly where the newest checkpoint was written. Raises InputError for what the user can mend,
    KeyboardInterrupt once an interrupted run has written its checkpoint.
    """
    from learner.parallel import check_gpus

    if data and not config.tasks:
        raise InputError(f"--data: {data}, but the configuration has no tasks, only corpora; leave it out")
    if "WORLD_SIZE" in os.environ:
        _work(_with_workers(config, int(os.environ["WORLD_SIZE"])), folder, resume, data)
        return
    check_gpus(config.learner)
    if config.learner.workers == 1:
        _work(config, folder, resume, data)
    else:
        _in_workers(config, folder, resume, data)


def _with_workers(config: RunConfig, workers: int) -> RunConfig:
    plain = config.model_dump(mode="json")
    plain["learner"]["workers"] = workers
    return parse_config(plain, "torchrun")


def _in_workers(config: RunConfig, folder: RunFolder, resume: bool, data: str | None) -> None:
    from torch.multiprocessing import ProcessRaisedException

    from learner.local_workers import run_workers

    # Only for a moment: afterwards the first worker, which writes, holds it, and outlives a killed launcher.
    with folder.hold():
        folder.check(config, resume)
    _open(config, data)
    job = partial(_work, config, folder, resume, data)
    try:
        run_workers(job, config.learner.workers)
    except ProcessRaisedException as error:
        quoted = re.findall(r"^(?:\w+\.)*(\w+): (.+)$", str(error), re.MULTILINE)
        kind, message = quoted[-1] if quoted else ("", str(error))
        raise (InputError if kind == "InputError" else RuntimeError)(message) from error


def _work(config: RunConfig, folder: RunFolder, resume: bool, data: str | None) -> None:
    """One worker's part."""
    import torch

    from learner import parallel
    from learner.checkpoint_folder import CheckpointFolder
    from learner.initial import initial_weights
    from learner.train import train

    with parallel.process_group(config.learner.gpu) as device, Interrupt() as interrupt, ExitStack() as locks:
        if parallel.is_first():
            locks.enter_context(folder.hold())
            folder.check(config, resume)
        dataset, corpora, tokenizer = _open(config, data)
        torch.set_num_threads(config.learner.threads)
        references = known_references([task.name for task in config.tasks])
        checkpoints = CheckpointFolder(folder.checkpoints, config.learner.keep_checkpoints, references)
        newest = checkpoints.newest_whole(config, tokenizer)
        if config.learner.init and not newest:
            initial_weights(Path(config.learner.init), config, tokenizer)
        if parallel.is_first():
            folder.open(config)
        position, note = _position(config, data_fingerprint(config, dataset, corpora), newest)
        learner = config.learner
        batches = load_batches(
            disk_sources(config, tokenizer, dataset, corpora, position.seed), learner.batch, config.lanes,
            tokenizer.tensor_size, position, parallel.rank(), parallel.world_size(), config.data.loaders,
        )  # fmt: skip
        with View(folder.log) if parallel.is_first() else nullcontext() as view:
            for line in [*checkpoints.refused, note]:
                if view and line:
                    view.note(line)
            host = _Host(config, interrupt, view)
            train(config, tokenizer, batches, host, checkpoints, device, position=position)
            if view and not interrupt.requested:
                newest = checkpoints.newest()
                verb = "score it with: gato-dist evaluate" if config.tasks else "use it with: gato-dist generate"
                view.note(f"checkpoint: {newest}")
                view.note(f"{verb} {newest}")
        interrupt.check()


def _position(config: RunConfig, fingerprint: str, newest: Path | None) -> tuple[DataPosition, str]:
    """Where to begin in the data, and what to tell of it."""
    from learner.checkpoint import data_position

    before = data_position(newest) if newest else None
    if before and before.fingerprint == fingerprint:
        return before, ""
    # An order that the part of the run before this start has not seen.
    seed = config.seed + (int(newest.name.removeprefix("step-")) if newest else 0)
    note = "the data are not those of the checkpoint: going on with them from their beginning" if before else ""
    return DataPosition.start(fingerprint, seed, config.lanes, len(config.weights)), note


def _open(config: RunConfig, data: str | None) -> tuple[Dataset | None, list[Corpus], Tokenizer]:
    """All that a run reads. Raises InputError for what is missing or does not fit."""
    dataset = Dataset.open(data) if data else None
    return dataset, open_corpora(config), _make_tokenizer(config, dataset)


def _make_tokenizer(config: RunConfig, dataset: Dataset | None) -> Tokenizer:
    specs = [dataset.spec(task.name) for task in config.tasks] if dataset else []
    kept = load_moments(dataset.root) if dataset else {}
    names = [task.name for task in config.tasks]
    moments = {name: kept[name] if name in kept else load_reference(name).moments for name in names}
    return fitting_tokenizer(config, specs, moments)


class _Host:
    """The `LearnerHost` of a run without actors: reports go to the view, weights only into checkpoints."""

    def __init__(self, config: RunConfig, interrupt: Interrupt, view: View | None) -> None:
        self._interrupt, self._view, self._began = interrupt, view, time.monotonic()
        self._left = TimeLeft()
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
        if self._view:
            self._view.show(status)

    def saving(self, step: int) -> None:
        """Its data lies on the disk already."""

    def note(self, message: str) -> None:
        if self._view:
            self._view.note(message)

    def should_stop(self) -> bool:
        return self._interrupt.requested
