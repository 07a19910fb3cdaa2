"""The training loop: batches in, weights, figures and checkpoints out."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from gato_dist.config.run_config import RunConfig
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import bucket, exact
from gato_dist.ports import LearnerHost, State
from gato_dist.sequence import Batch, DataPosition
from gato_dist.telemetry import LearnerReport
from gato_dist.tokens.tokenizer import Tokenizer
from learner import parallel
from learner.checkpoint import Counters, Snapshot, build_model, load_weights, restore
from learner.checkpoint_folder import CheckpointFailed, CheckpointFolder
from learner.feed import Feed, feeds
from learner.initial import initial_weights
from learner.loss import LossModel
from learner.metrics import Meter
from learner.optim import learning_rate, make_optimizer
from learner.state import model_tensors

REPORT_SECONDS = 2.0
MOST_FAILED = 5  # checkpoints that cannot be written, one after another
MOST_SHAPES = 64  # compiled of one function; four an octave


class Preempted(RuntimeError):
    """A worker's machine is taken away; a checkpoint was written, from which the job can go on elsewhere."""


class NonFiniteLoss(RuntimeError):
    """Loss or gradient was NaN or infinite in too many batches one after another."""


class Learner:
    """Model, optimizer and counters; `step` is one gradient step.

    Global batches, and what a target weighs in them, are the same whatever the workers and the parts of their shares.
    """

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config.learner, torch.device(device)
        self.model: Gato = build_model(config, tokenizer).to(device)
        self.model.transformer.recompute = config.learner.checkpoint_activations
        loss_model = LossModel(self.model, tokenizer.vocabulary, config.learner.target_spread)
        if config.learner.compile:
            compile_model(self.model)
        self._loss_model = parallel.wrap(loss_model, config.learner, self.device)
        self.optimizer = make_optimizer(self.model, config.learner)
        self.counters = Counters()
        self.skipped_in_a_row = 0
        # Documents of each source that all workers skipped since this start.
        self.damaged: list[float] = []
        self.meter = Meter(list(config.weights))
        self._seed, self._local_positions = config.seed, config.model.local_positions

    @property
    def progress(self) -> float:
        """Share of the run that is done: by steps or by minutes, whichever is further."""
        by_time = self.counters.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.counters.step / self.config.steps, by_time)

    def feed(self, batch: Batch) -> Feed:
        """`batch` on the device, in its parts; of a few shapes alone where each shape would be compiled anew.

        Raises InputError for a step with more observation tokens than the model has positions for: how many a text
        takes is only known once it is seen.
        """
        needed = int(batch.local_position.max(initial=0)) + 1
        if needed > self._local_positions:
            raise InputError(f"model.local_positions: {self._local_positions}, but a step's texts need {needed}")
        return Feed.of(batch, self.config.accumulate, self.device, bucket if self.config.compile else exact)

    def step(self, batch: Batch | Feed, wait_seconds: float = 0.0) -> float:
        """One gradient step on this worker's share of a global batch; the mean loss of its targets.

        Where the gradient's norm is not finite, weights, optimizer and the number of the step stay as they are, and
        the batch counts as skipped; NaN is returned. A loss that is not finite makes its gradient so, and the norm is
        that of the gradient over all workers: all of them skip together. Raises NonFiniteLoss after `max_skipped` of
        those one after another.
        """
        feed = batch if isinstance(batch, Feed) else self.feed(batch)
        self.model.train()
        parallel.seed_step(self._seed, self.counters.step + self.counters.skipped)
        damaged = feed.batch.damaged.sum(axis=0).tolist()
        targets, tokens, *self.damaged = parallel.totals([feed.targets, feed.batch.tokens, *damaged])
        self.optimizer.zero_grad(set_to_none=True)
        loss, per_token = self._gradients(feed, parallel.world_size() / max(targets, 1))
        norm = parallel.whole(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        # Read together, before the optimizer is put to work: the one time in a step that the host waits for a GPU.
        mean, norm_value = torch.stack([loss, norm]).tolist()
        if not isfinite(norm_value):
            return self._skip()
        self.skipped_in_a_row = 0
        rate = learning_rate(self.config, self.counters.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.counters.step += 1
        self.counters.tokens += int(tokens)
        self.meter.add(per_token, feed.tasks, int(tokens), wait_seconds)
        return mean

    def _gradients(self, feed: Feed, weight: float) -> tuple[Tensor, list[Tensor]]:
        """Adds up the gradients of all parts, each target's loss times `weight`; that sum, and each part's losses."""
        feed.wait()
        half = self.config.precision == "bfloat16"
        total, each = torch.zeros((), device=self.device), []
        for index, (inputs, targets) in enumerate(feed.parts):
            with parallel.accumulating(self._loss_model, last=index == len(feed.parts) - 1):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
                    loss, per_token = self._loss_model(inputs, targets)
                # Data-parallel wrappers average gradients over workers; the loss is a mean over all of their targets.
                (loss * weight).backward()
            total += loss.detach() * weight
            each.append(per_token)
        return total, each

    def _skip(self) -> float:
        # Clipping made NaN of all gradients.
        self.optimizer.zero_grad(set_to_none=True)
        self.counters.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= self.config.max_skipped:
            raise NonFiniteLoss(
                f"loss or gradient was not finite in {self.skipped_in_a_row} batches one after another after step "
                f"{self.counters.step}; the newest checkpoint is from before: lower learner.learning_rate and --resume"
            )
        return float("nan")

    def weights(self) -> State:
        """A copy of the weights as float32 arrays by name, on the first worker. All workers must call it."""
        return {name: tensor.numpy() for name, tensor in model_tensors(self.model).items()}


def compile_model(model: Gato, backend: str | Callable = "inductor") -> None:
    """torch.compile of every block, which share what is compiled once, and of the patch embedding.

    Shapes are taken as fixed: batches must be padded to a few sizes (gato_dist.model.inputs.bucket).
    """
    torch._dynamo.config.recompile_limit = MOST_SHAPES
    for module in (*model.transformer.blocks, model.embedding.patches):
        module.forward = torch.compile(module.forward, dynamic=False, backend=backend)


def train(
    config: RunConfig,
    tokenizer: Tokenizer,
    batches: Iterable[Batch],
    host: LearnerHost,
    folder: CheckpointFolder,
    device: torch.device | str = "cpu",
    min_version: int = 0,
    position: DataPosition | None = None,
    leaves: Callable[[], bool] = lambda: False,
) -> Counters:
    """Trains until the run's steps or minutes are used up, or the host asks to stop; returns the counters.

    Begins from the newest whole checkpoint of `folder`, if there is one, else from the weights of `learner.init`, if
    it is given, and publishes them. Publishes every `publish_seconds`
    and the last weights, all with versions above `min_version`: a run that was killed may have published more than its
    newest checkpoint knows of. Writes a checkpoint every `checkpoint_seconds`, in the background, and at the end.
    A checkpoint that cannot be written is told of, and tried anew with the next; several in a row, or the last one,
    raise CheckpointFailed.
    position: where `batches` from disk begin; checkpoints then carry where they stand.
    leaves: whether a worker's machine is about to be taken away: once one's is, a checkpoint is written and all workers
    raise Preempted.
    """
    learner = Learner(config, tokenizer, device)
    tasks = _Periodic(learner, config, tokenizer, host, folder, position, leaves)
    begins = newest = folder.newest_whole(config, tokenizer)
    if newest:
        learner.counters = restore(newest, learner.model, learner.optimizer)
        learner.counters.weights_version = max(learner.counters.weights_version, min_version)
    elif config.learner.init:
        begins = Path(config.learner.init)
        load_weights(learner.model, initial_weights(begins, config, tokenizer), begins)
    if begins:
        # New weights are not: scoring what never learned would only cost time.
        tasks.publish()
    fed = feeds(batches, learner.feed, learner.device)
    while tasks.between_steps():
        begin = time.monotonic()
        feed = next(fed)
        waited = time.monotonic() - begin
        learner.step(feed, waited)
        # The wait for the very first batch is the experts' start, not training.
        learner.counters.seconds += time.monotonic() - begin - (waited if tasks.steps == 0 else 0.0)
        tasks.stepped(feed.batch)
    tasks.finish()
    return learner.counters


class _Periodic:
    """What happens every so often between steps: all workers do it after the same step, the first one alone speaks."""

    def __init__(
        self,
        learner: Learner,
        config: RunConfig,
        tokenizer: Tokenizer,
        host: LearnerHost,
        folder: CheckpointFolder,
        position: DataPosition | None,
        leaves: Callable[[], bool],
    ) -> None:
        self._learner, self._config, self._tokenizer, self._leaves = learner, config, tokenizer, leaves
        self._host, self._folder, self._position = host, folder, position
        self._reported = self._published = self._saved = time.monotonic()
        self._publish_seconds = 0.0
        self.steps = 0

    def stepped(self, batch: Batch) -> None:
        self.steps += 1
        if self._position is not None:
            self._position = replace(self._position, batches=self._position.batches + 1, cursor=batch.cursor)

    def between_steps(self) -> bool:
        """Reports, publishes and saves where it is time to; whether another step follows."""
        learner, now, config = self._learner, time.monotonic(), self._config.learner
        if now - self._reported >= REPORT_SECONDS:
            self.report()
        self._check_written()
        wants = [
            float(self._host.should_stop()),
            float(self._leaves()),
            float(now - self._published >= config.publish_seconds),
            float(self._may_save() and now - self._saved >= config.checkpoint_seconds),
            learner.counters.seconds,
        ]
        # Clocks differ between workers, and the schedule may follow them: all go by the same words.
        stop, leaves, publishes, saves, learner.counters.seconds = parallel.maximum(wants)
        if leaves:
            self.hand_over()
        # Weights that are saved are published too: only then can a score be that of a checkpoint.
        if publishes or saves:
            self.publish()
        if saves:
            self.save()
        return not stop and learner.counters.step < config.steps and learner.progress < 1.0

    def finish(self) -> None:
        if self.steps:
            self.publish()
            self._check_written(wait=True)
            self.save()
            self._folder.wait()
        self.report()

    def hand_over(self) -> None:
        """Leaves a checkpoint for whoever goes on. Raises Preempted."""
        if not self._learner.skipped_in_a_row:
            self.finish()
        # The first to end ends all: none may before the checkpoint is written.
        parallel.maximum([0.0])
        step = self._learner.counters.step
        if parallel.is_first():
            self._host.note(f"the learner's machine is taken away: it goes on from its checkpoint of step {step}")
        raise Preempted(f"the learner's machine is taken away; its checkpoint is of step {step}")

    def report(self) -> None:
        self._reported = time.monotonic()
        learner = self._learner
        if parallel.is_first():
            counters = learner.counters
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
        self._published = time.monotonic()
        counters = self._learner.counters
        counters.weights_version += 1
        weights = self._learner.weights()
        if parallel.is_first():
            self._host.publish(counters.weights_version, counters.step, weights)
        self._publish_seconds = time.monotonic() - self._published

    def save(self) -> None:
        """Begins a checkpoint: copies all of it to the host, and leaves the files to the folder's thread."""
        self._folder.wait()
        self._saved = time.monotonic()
        learner, position = self._learner, self._position
        if position is not None:
            position = replace(position, cursor=parallel.gather(position.cursor))
        parts = learner.model, learner.optimizer, learner.counters, position, self._folder.references
        snapshot = Snapshot.of(self._config, self._tokenizer, *parts)
        if parallel.is_first():
            self._folder.save(snapshot)
            self._host.saving(learner.counters.step)

    def _check_written(self, wait: bool = False) -> None:
        """Tells of a checkpoint that could not be written, since the next may be.

        wait: for one that is being written. Raises CheckpointFailed after several in a row.
        """
        try:
            self._folder.wait() if wait else self._folder.check()
        except CheckpointFailed as error:
            failures = self._folder.failures
            if failures >= MOST_FAILED:
                raise
            self._host.note(f"{error}; trying again with the next one ({failures} of {MOST_FAILED} failed)")

    def _may_save(self) -> bool:
        """The first worker alone knows whether a checkpoint is still being written: the next one comes after it.

        While batches are skipped none is written, so that the newest one is from before the first of them.
        """
        return parallel.is_first() and not self._folder.busy and not self._learner.skipped_in_a_row
