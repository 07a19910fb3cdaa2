"""The learner's model and optimizer: one gradient step for each batch."""

from collections.abc import Callable, Sequence
from math import isfinite

import torch
from torch import Tensor

from gato_dist.config.run_config import RunConfig
from gato_dist.config.training_sections import LearnerConfig
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.model.inputs import bucket_size, exact_size
from gato_dist.ports import State
from gato_dist.sequence import Batch
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.tokens.vocabulary import Vocabulary
from learner import parallel
from learner.checkpoint import Counters, build_model
from learner.device_batches import DeviceBatch
from learner.loss import LossModel
from learner.metrics import Meter
from learner.optim import learning_rate, make_optimizer
from learner.state import model_tensors

MAX_COMPILED_SHAPES = 64  # of one function; `bucket_size` has four sizes for each power of two


class NonFiniteLoss(RuntimeError):
    """The loss or the gradient was NaN or infinite in too many batches in a row."""


class Learner:
    """A model with its optimizer and counters; `step` is one gradient step.

    The result does not depend on how a global batch is divided among workers and accumulated parts: every target has
    the same weight.

    Attributes:
        model: the model.
        optimizer: its optimizer.
        counters: progress of the run.
        skipped_in_a_row: batches skipped since the last gradient step.
        damaged: for each source of data, documents that all workers have skipped since the start.
        meter: losses and rates since the last report.
    """

    def __init__(
        self,
        config: LearnerConfig,
        model: Gato,
        vocabulary: Vocabulary,
        *,
        tasks: Sequence[str],
        seed: int,
        device: torch.device | str = "cpu",
    ) -> None:
        """Makes an optimizer for a model and wraps the model for data-parallel training.

        Args:
            config: the learner's section of the configuration.
            model: the model; it is moved to `device`.
            vocabulary: token ids of the run.
            tasks: names of the mixture's tasks and corpora, in the order of `Batch.task`.
            seed: of the run.
            device: where to train.
        """
        self.config, self.device = config, torch.device(device)
        self.model = model.to(device)
        self.model.transformer.recompute = config.checkpoint_activations
        loss_model = LossModel(self.model, vocabulary, config.target_spread)
        if config.compile:
            compile_model(self.model)
        self._loss_model = parallel.wrap_model(loss_model, config, self.device)
        self.optimizer = make_optimizer(self.model, config)
        self.counters = Counters()
        self.skipped_in_a_row = 0
        self.damaged: list[float] = []
        self.meter = Meter(tasks)
        self._seed = seed

    @classmethod
    def for_run(cls, config: RunConfig, tokenizer: Tokenizer, device: torch.device | str = "cpu") -> "Learner":
        """Makes the learner of a run, with a new model."""
        model = build_model(config, tokenizer)
        return cls(
            config.learner,
            model,
            tokenizer.vocabulary,
            tasks=list(config.weights),
            seed=config.seed,
            device=device,
        )

    @property
    def progress(self) -> float:
        """Share of the run that is done, by steps or by minutes, whichever is larger."""
        by_time = self.counters.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.counters.step / self.config.steps, by_time)

    def prepare(self, batch: Batch) -> DeviceBatch:
        """Copies a batch to the device, in the parts that are computed one after another.

        If the model is compiled, counts are padded, so that only a few shapes are compiled.

        Raises:
            InputError: if a time step has more observation tokens than the model has local positions. The length of a
                text is not known before it is read.
        """
        needed = int(batch.local_position.max(initial=0)) + 1
        available = self.model.config.local_positions
        if needed > available:
            raise InputError(f"model.local_positions: {available}, but the texts of a time step need {needed}")
        size = bucket_size if self.config.compile else exact_size
        return DeviceBatch.from_batch(batch, self.config.accumulate, self.device, size)

    def step(self, batch: Batch | DeviceBatch, wait_seconds: float = 0.0) -> float:
        """Makes one gradient step on this worker's share of a global batch.

        If the norm of the gradient is not finite, weights, optimizer and step counter stay unchanged, and the batch
        counts as skipped. The norm is that of the global gradient, so all workers skip the same batches.

        Args:
            batch: this worker's share.
            wait_seconds: how long the learner waited for the batch, for the metrics.

        Returns:
            This worker's part of the loss: the average over workers is the mean loss of all targets. NaN if the batch
            was skipped.

        Raises:
            NonFiniteLoss: if `max_skipped` batches in a row were skipped.
        """
        prepared = batch if isinstance(batch, DeviceBatch) else self.prepare(batch)
        self.model.train()
        parallel.seed_step(self._seed, self.counters.step + self.counters.skipped)
        damaged = prepared.batch.damaged.sum(axis=0).tolist()
        counts = [prepared.targets, prepared.batch.tokens, *damaged]
        targets, tokens, *self.damaged = parallel.sum_over_workers(counts)
        self.optimizer.zero_grad(set_to_none=True)
        loss, per_token = self._gradients(prepared, parallel.world_size() / max(targets, 1))
        norm = parallel.full_tensor(torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        # Read both together, before the optimizer runs. This is the only time in a step that the host waits for a GPU.
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
        self.meter.add(per_token, prepared.tasks, int(tokens), wait_seconds)
        return mean

    def _gradients(self, prepared: DeviceBatch, weight: float) -> tuple[Tensor, list[Tensor]]:
        """Accumulates the gradients of all parts, with each target's loss times `weight`.

        Returns:
            The weighted sum of the losses, and the loss of each target of each part, float32 [M].
        """
        prepared.wait()
        bfloat16 = self.config.precision == "bfloat16"
        total, losses = torch.zeros((), device=self.device), []
        for index, (inputs, targets) in enumerate(prepared.parts):
            with parallel.accumulating(self._loss_model, last=index == len(prepared.parts) - 1):
                with torch.autocast(self.device.type, torch.bfloat16, enabled=bfloat16):
                    loss, per_token = self._loss_model(inputs, targets)
                # Data-parallel wrappers average gradients over workers, but the loss is a mean over all targets.
                (loss * weight).backward()
            total += loss.detach() * weight
            losses.append(per_token)
        return total, losses

    def _skip(self) -> float:
        # Clipping turned all gradients into NaN.
        self.optimizer.zero_grad(set_to_none=True)
        self.counters.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= self.config.max_skipped:
            raise NonFiniteLoss(
                f"the loss or gradient was not finite in {self.skipped_in_a_row} batches in a row after step "
                f"{self.counters.step}; the newest checkpoint is older: lower learner.learning_rate and use --resume"
            )
        return float("nan")

    def weights(self) -> State:
        """Copies the weights as float32 arrays by name. All workers must call it; only the first gets the arrays."""
        return {name: tensor.numpy() for name, tensor in model_tensors(self.model).items()}


def compile_model(model: Gato, backend: str | Callable = "inductor") -> None:
    """Compiles the blocks, which share one compiled function, and the patch embedding with torch.compile.

    Every shape is compiled separately, so batches must be padded to a few sizes (`gato_dist.model.inputs.bucket_size`).
    """
    torch._dynamo.config.recompile_limit = MAX_COMPILED_SHAPES
    for module in (*model.transformer.blocks, model.embedding.patches):
        module.forward = torch.compile(module.forward, dynamic=False, backend=backend)
