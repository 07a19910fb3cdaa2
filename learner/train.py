"""The training loop: reads batches, makes gradient steps, and publishes weights, metrics and checkpoints."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from gato_dist.config.run_config import RunConfig
from gato_dist.ports import LearnerHost
from gato_dist.sequence import Batch, DataPosition
from gato_dist.telemetry import LearnerReport
from gato_dist.tokens.tokenizer import Tokenizer
from learner import parallel
from learner.checkpoint import Counters, Snapshot, load_weights, restore
from learner.checkpoint_folder import CheckpointFailed, CheckpointFolder
from learner.device_batches import device_batches
from learner.fine_tuning import initial_weights
from learner.learner import Learner
from learner.optim import learning_rate

REPORT_SECONDS = 2.0
MAX_FAILED_CHECKPOINTS = 5  # in a row


class Preempted(RuntimeError):
    """A worker's machine will be taken away. A checkpoint was written, so that the job can continue elsewhere."""


def train(
    config: RunConfig,
    tokenizer: Tokenizer,
    *,
    batches: Iterable[Batch],
    host: LearnerHost,
    folder: CheckpointFolder,
    device: torch.device | str = "cpu",
    min_version: int = 0,
    position: DataPosition | None = None,
    is_preempted: Callable[[], bool] = lambda: False,
) -> Counters:
    """Trains until the run's steps or minutes are used up, or the host asks to stop.

    Training starts from the newest valid checkpoint of `folder`; if there is none, from the weights of `learner.init`;
    otherwise from random weights, which are not published. Weights are published every `publish_seconds` and at the
    end. A checkpoint is written every `checkpoint_seconds`, in the background, and at the end. If it cannot be written,
    the host is informed, and the next one is tried.

    Args:
        config: configuration of the run. Checkpoints contain all of it.
        tokenizer: encodes the run's tasks. Checkpoints contain it.
        batches: this worker's share of every global batch.
        host: receives weights, metrics and messages.
        folder: the run's checkpoints.
        device: where to train.
        min_version: versions are numbered from `min_version` + 1 on, because a killed run may have published versions
            after its newest checkpoint.
        position: where `batches` from disk begin; checkpoints then record their position.
        is_preempted: returns True once this worker's machine will be taken away.

    Returns:
        The counters at the end of training.

    Raises:
        CheckpointFailed: if several checkpoints in a row, or the last one, could not be written.
        Preempted: on all workers, after a checkpoint, if one worker's machine will be taken away.
        NonFiniteLoss: if too many batches in a row had no finite gradient.
        InputError: if no checkpoint can be resumed, or the weights of `learner.init` do not fit.
    """
    learner = Learner.for_run(config, tokenizer, device)
    starts_from = _load(learner, config, tokenizer, folder, min_version)
    periodic = _PeriodicWork(
        learner, config, tokenizer, host=host, folder=folder, position=position, is_preempted=is_preempted
    )
    if starts_from:
        periodic.publish()
    prepared = device_batches(batches, learner.prepare, learner.device)
    while periodic.run():
        start = time.monotonic()
        batch = next(prepared)
        waited = time.monotonic() - start
        learner.step(batch, waited)
        # The wait for the first batch is the experts' start, not training time.
        learner.counters.seconds += time.monotonic() - start - (waited if periodic.steps == 0 else 0.0)
        periodic.count_step(batch.batch)
    periodic.finish()
    return learner.counters


def _load(
    learner: Learner, config: RunConfig, tokenizer: Tokenizer, folder: CheckpointFolder, min_version: int
) -> Path | None:
    """Loads the newest checkpoint or the weights of `learner.init`; returns their path, None if there are none."""
    newest = folder.newest_valid(config, tokenizer)
    if newest:
        learner.counters = restore(newest, learner.model, learner.optimizer)
        learner.counters.weights_version = max(learner.counters.weights_version, min_version)
        return newest
    if not config.learner.init:
        return None
    path = Path(config.learner.init)
    load_weights(learner.model, initial_weights(path, config, tokenizer), path)
    return path


class _PeriodicWork:
    """Work between gradient steps: reports, weights and checkpoints.

    All workers do the work after the same step, because gathering weights needs all of them. Only the first worker
    talks to the host.
    """

    def __init__(
        self,
        learner: Learner,
        config: RunConfig,
        tokenizer: Tokenizer,
        *,
        host: LearnerHost,
        folder: CheckpointFolder,
        position: DataPosition | None,
        is_preempted: Callable[[], bool],
    ) -> None:
        self._learner, self._config, self._tokenizer, self._is_preempted = learner, config, tokenizer, is_preempted
        self._host, self._folder, self._position = host, folder, position
        self._reported = self._published = self._saved = time.monotonic()
        self._publish_seconds = 0.0
        self.steps = 0

    def count_step(self, batch: Batch) -> None:
        """Notes that a batch was used."""
        self.steps += 1
        if self._position is not None:
            self._position = replace(self._position, batches=self._position.batches + 1, cursor=batch.cursor)

    def run(self) -> bool:
        """Does the work that is due. Returns whether to make another step."""
        learner, now, config = self._learner, time.monotonic(), self._config.learner
        if now - self._reported >= REPORT_SECONDS:
            self.report()
        self._check_written()
        wishes = [
            float(self._host.should_stop()),
            float(self._is_preempted()),
            float(now - self._published >= config.publish_seconds),
            float(self._may_save() and now - self._saved >= config.checkpoint_seconds),
            learner.counters.seconds,
        ]
        # Clocks differ between workers, and the learning rate may depend on time. All workers use the same values.
        stop, preempted, publish, save, learner.counters.seconds = parallel.max_over_workers(wishes)
        if preempted:
            self._leave()
        # Saved weights are published as well, so that the score of a checkpoint can be measured.
        if publish or save:
            self.publish()
        if save:
            self._save()
        return not stop and learner.counters.step < config.steps and learner.progress < 1.0

    def finish(self) -> None:
        """Publishes and saves the last weights, and reports."""
        if self.steps:
            self.publish()
            self._check_written(wait=True)
            self._save()
            self._folder.wait()
        self.report()

    def _leave(self) -> None:
        """Writes a checkpoint and raises Preempted."""
        if not self._learner.skipped_in_a_row:
            self.finish()
        # The first worker that ends stops all others. So none may end before the checkpoint is written.
        parallel.max_over_workers([0.0])
        step = self._learner.counters.step
        if parallel.is_first_worker():
            self._host.note(
                f"the learner's machine will be taken away; it continues from the checkpoint of step {step}"
            )
        raise Preempted(f"the learner's machine will be taken away; the newest checkpoint is of step {step}")

    def report(self) -> None:
        """Sends metrics to the host."""
        self._reported = time.monotonic()
        if not parallel.is_first_worker():
            return
        learner, counters = self._learner, self._learner.counters
        damaged = zip(self._config.weights, learner.damaged, strict=False)
        report = LearnerReport(
            step=counters.step,
            tokens=counters.tokens,
            seconds=counters.seconds,
            weights_version=counters.weights_version,
            skipped=counters.skipped,
            progress=min(learner.progress, 1.0),
            learning_rate=learning_rate(self._config.learner, counters.step, learner.progress),
            publish_seconds=self._publish_seconds,
            damaged={name: int(count) for name, count in damaged if count},
            recent=learner.meter.report(),
        )
        self._host.report(report)

    def publish(self) -> None:
        """Publishes the weights as a new version."""
        self._published = time.monotonic()
        counters = self._learner.counters
        counters.weights_version += 1
        weights = self._learner.weights()
        if parallel.is_first_worker():
            self._host.publish(counters.weights_version, counters.step, weights)
        self._publish_seconds = time.monotonic() - self._published

    def _save(self) -> None:
        """Copies everything to host memory and starts writing a checkpoint in the folder's thread."""
        self._folder.wait()
        self._saved = time.monotonic()
        learner, position = self._learner, self._position
        if position is not None:
            position = replace(position, cursor=parallel.gather_arrays(position.cursor))
        snapshot = Snapshot.take(
            self._config,
            self._tokenizer,
            model=learner.model,
            optimizer=learner.optimizer,
            counters=learner.counters,
            position=position,
            references=self._folder.references,
        )
        if parallel.is_first_worker():
            self._folder.save(snapshot)
            self._host.saving(learner.counters.step)

    def _check_written(self, wait: bool = False) -> None:
        """Informs the host if a checkpoint could not be written. The next one may succeed.

        Args:
            wait: whether to wait for a checkpoint that is being written.

        Raises:
            CheckpointFailed: if several in a row failed.
        """
        try:
            if wait:
                self._folder.wait()
            else:
                self._folder.check()
        except CheckpointFailed as error:
            failures = self._folder.failures
            if failures >= MAX_FAILED_CHECKPOINTS:
                raise
            self._host.note(
                f"{error}; trying again with the next checkpoint ({failures} of {MAX_FAILED_CHECKPOINTS} failed)"
            )

    def _may_save(self) -> bool:
        """Returns whether a new checkpoint may be started.

        Only the first worker knows whether a checkpoint is still being written. While batches are skipped, none is
        written, so that the newest checkpoint is from before the first skipped batch.
        """
        return parallel.is_first_worker() and not self._folder.busy and not self._learner.skipped_in_a_row
