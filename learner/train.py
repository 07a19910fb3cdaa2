"""The training loop: batches in, weights, figures and checkpoints out."""

import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import torch

from gato_dist.config import RunConfig
from gato_dist.model.gato import Gato, Inputs
from gato_dist.ports import LearnerHost, State
from gato_dist.sequence import Batch, DataPosition
from gato_dist.tokens.tokenizer import Tokenizer
from learner import parallel
from learner.checkpoint import Counters, Snapshot, build_model, load_weights, restore
from learner.checkpoint_folder import CheckpointFolder
from learner.initial import initial_weights
from learner.loss import LossModel
from learner.metrics import Meter
from learner.optim import learning_rate, make_optimizer

REPORT_SECONDS = 2.0


class NonFiniteLoss(RuntimeError):
    """Loss or gradient was NaN or infinite in too many batches one after another."""


class Learner:
    """Model, optimizer and counters; `step` is one gradient step."""

    def __init__(self, config: RunConfig, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config.learner, device
        self.model: Gato = build_model(config, tokenizer).to(device)
        self.optimizer = make_optimizer(self.model, config.learner)
        self.counters = Counters()
        self.skipped_in_a_row = 0
        self.meter = Meter(list(config.weights))
        loss_model = LossModel(self.model, tokenizer.vocabulary, config.learner.target_spread)
        self._loss_model = parallel.wrap(loss_model)
        self._seed = config.seed

    @property
    def progress(self) -> float:
        """Share of the run that is done: by steps or by minutes, whichever is further."""
        by_time = self.counters.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.counters.step / self.config.steps, by_time)

    def step(self, batch: Batch, wait_seconds: float = 0.0) -> float:
        """One gradient step on this worker's share of a global batch; the mean loss of its targets.

        Where the gradient's norm is not finite, weights, optimizer and the number of the step stay as they are, and
        the batch counts as skipped; NaN is returned. A loss that is not finite makes its gradient so, and the norm is
        that of the gradient over all workers: all of them skip together. Raises NonFiniteLoss after `max_skipped` of
        those one after another.
        """
        self.model.train()
        parallel.seed_step(self._seed, self.counters.step + self.counters.skipped)
        inputs = Inputs.of(batch, self.device)
        loss = self._loss_model(inputs)
        targets = parallel.total(len(loss.per_token), self.device)
        # Data-parallel wrappers average gradients over workers; the loss is a mean over all of their targets.
        mean = loss.total / max(targets, 1) * parallel.world_size()
        self.optimizer.zero_grad(set_to_none=True)
        mean.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        if not torch.isfinite(norm):
            return self._skip()
        self.skipped_in_a_row = 0
        rate = learning_rate(self.config, self.counters.step, self.progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.counters.step += 1
        self.counters.tokens += int(parallel.total(batch.tokens, self.device))
        self.meter.add(loss.per_token, batch.task[loss.row.cpu().numpy()], batch.tokens, wait_seconds)
        return float(mean.detach())

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
        """A copy of the weights as float32 arrays by name."""
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self.model.state_dict().items()}


def train(
    config: RunConfig,
    tokenizer: Tokenizer,
    batches: Iterable[Batch],
    host: LearnerHost,
    folder: CheckpointFolder,
    device: torch.device | str = "cpu",
    min_version: int = 0,
    position: DataPosition | None = None,
) -> Counters:
    """Trains until the run's steps or minutes are used up, or the host asks to stop; returns the counters.

    Begins from the newest whole checkpoint of `folder`, if there is one, else from the weights of `learner.init`, if
    it is given, and publishes them. Publishes every `publish_seconds`
    and the last weights, all with versions above `min_version`: a run that was killed may have published more than its
    newest checkpoint knows of. Writes a checkpoint every `checkpoint_seconds`, in the background, and at the end.
    position: where `batches` from disk begin; checkpoints then carry where they stand.
    """
    learner = Learner(config, tokenizer, device)
    tasks = _Periodic(learner, config, tokenizer, host, folder, position)
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
    iterator = iter(batches)
    while tasks.between_steps():
        begin = time.monotonic()
        batch = next(iterator)
        waited = time.monotonic() - begin
        learner.step(batch, waited)
        # The wait for the very first batch is the experts' start, not training.
        learner.counters.seconds += time.monotonic() - begin - (waited if tasks.steps == 0 else 0.0)
        tasks.stepped(batch)
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
    ) -> None:
        self._learner, self._config, self._tokenizer = learner, config, tokenizer
        self._host, self._folder, self._position = host, folder, position
        self._reported = self._published = self._saved = time.monotonic()
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
        self._folder.check()
        wants = [
            float(self._host.should_stop()),
            float(now - self._published >= config.publish_seconds),
            float(self._may_save() and now - self._saved >= config.checkpoint_seconds),
            learner.counters.seconds,
        ]
        # Clocks differ between workers, and the schedule may follow them: all go by the same words.
        stop, publishes, saves, learner.counters.seconds = parallel.maximum(wants, learner.device)
        # Weights that are saved are published too: only then can a score be that of a checkpoint.
        if publishes or saves:
            self.publish()
        if saves:
            self.save()
        return not stop and learner.counters.step < config.steps and learner.progress < 1.0

    def finish(self) -> None:
        if self.steps:
            self.publish()
            self.save()
            self._folder.wait()
        self.report()

    def report(self) -> None:
        self._reported = time.monotonic()
        learner = self._learner
        counters = {name: float(value) for name, value in vars(learner.counters).items()}
        rate = learning_rate(self._config.learner, learner.counters.step, learner.progress)
        if parallel.is_first():
            figures = (
                counters | learner.meter.report() | {"learning_rate": rate, "progress": min(learner.progress, 1.0)}
            )
            self._host.report(figures)

    def publish(self) -> None:
        self._published = time.monotonic()
        counters = self._learner.counters
        counters.weights_version += 1
        if parallel.is_first():
            self._host.publish(counters.weights_version, counters.step, self._learner.weights())

    def save(self) -> None:
        """Begins a checkpoint: copies all of it to the host, and leaves the files to the folder's thread."""
        self._folder.wait()
        self._saved = time.monotonic()
        learner, position = self._learner, self._position
        if position is not None:
            position = replace(position, cursor=parallel.gather(position.cursor, learner.device))
        if parallel.is_first():
            parts = learner.model, learner.optimizer, learner.counters, position
            self._folder.save(Snapshot.of(self._config, self._tokenizer, *parts))

    def _may_save(self) -> bool:
        """The first worker alone knows whether a checkpoint is still being written: the next one comes after it.

        While batches are skipped none is written, so that the newest one is from before the first of them.
        """
        return parallel.is_first() and not self._folder.busy and not self._learner.skipped_in_a_row
