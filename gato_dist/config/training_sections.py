"""Configuration of the model, its optimisation, and relabelled rollouts (DAgger)."""

from typing import Any, Literal

from pydantic import Field, model_validator

from gato_dist.config.field_types import (
    CustomResources,
    Fraction,
    LayerSize,
    Niceness,
    NonNegativeInt,
    OptionalProcesses,
    PositiveInt,
    Processes,
    Section,
    SequenceLength,
    Threads,
)
from gato_dist.config.model_presets import MODEL_PRESETS


class ModelConfig(Section):
    """The transformer."""

    preset: str | None = Field(
        None, description="name of a set of defaults for the other keys, as `gato-dist model` lists them; null: none"
    )
    width: LayerSize = Field(192, description="width of the residual stream")
    layers: LayerSize = Field(4, description="transformer blocks")
    heads: LayerSize = Field(6, description="attention heads in each block")
    key_size: LayerSize = Field(32, description="width of a head's keys and values; even, for rotary positions")
    feed_forward: LayerSize = Field(
        768, description="hidden width of the feed-forward layer; with geglu, of both halves together"
    )
    activation: Literal["gelu", "geglu"] = Field("gelu", description="activation of the feed-forward layer")
    positions: Literal["rotary", "learned"] = Field("rotary", description="position encoding inside a sequence")
    max_positions: LayerSize = Field(
        1024, description="rows of the table of learned positions; at least `tokens.length`"
    )
    shared_embedding: bool = Field(
        False, description="use the token embedding as the output layer too, as the paper does"
    )
    patch_channels: LayerSize = Field(32, description="channels of the residual block that embeds image patches")
    local_positions: SequenceLength = Field(
        256, description="rows of the local-position table: the maximum of observation tokens in a time step"
    )
    action_positions: Literal["none", "shared", "index"] = Field(
        "shared", description="position embedding of action tokens: none, one for all, or one for each index"
    )
    past_actions: Literal["shown", "masked", "dropped"] = Field(
        "shown",
        description="whether a window's later time steps see earlier actions: always, never, or with random gaps in "
        "training",
    )
    past_actions_drop: Fraction = Field(
        0.5, description="probability that an action is hidden in training if `model.past_actions` is dropped"
    )
    dropout: Fraction = Field(0.0, description="dropout probability")
    stochastic_depth: float = Field(
        0.0, ge=0, lt=1, description="probability that a sequence skips a sub-layer in training (paper: 0.1)"
    )

    @model_validator(mode="before")
    @classmethod
    def _apply_preset(cls, data: Any) -> Any:
        name = data.get("preset") if isinstance(data, dict) else None
        if name is None:
            return data
        if not isinstance(name, str) or name not in MODEL_PRESETS:
            raise ValueError(f"model.preset: there is no {name!r}; give one of {', '.join(MODEL_PRESETS)}")
        return MODEL_PRESETS[name] | data

    @model_validator(mode="after")
    def _check_even_sizes(self) -> "ModelConfig":
        if self.key_size % 2:
            raise ValueError(f"model.key_size: rotary positions need an even number, got {self.key_size}")
        if self.activation == "geglu" and self.feed_forward % 2:
            raise ValueError(f"model.feed_forward: GEGLU halves it, so it must be even, got {self.feed_forward}")
        return self


class LearnerConfig(Section):
    """Optimisation. A run ends after `steps` or `minutes`, whichever comes first; the schedule follows both."""

    steps: PositiveInt = Field(100_000, description="gradient steps of the run")
    minutes: float | None = Field(
        None, gt=0, description="wall-clock minutes of training, over all resumptions; null: no limit"
    )
    batch: PositiveInt = Field(32, description="sequences in a global batch")
    learning_rate: float = Field(1e-3, gt=0, description="maximum learning rate, reached after warm-up")
    warmup_steps: NonNegativeInt = Field(200, description="steps of linear warm-up")
    final_lr_ratio: Fraction = Field(
        0.1, description="learning rate at the end of the cosine schedule, divided by the maximum (paper: 0.1)"
    )
    weight_decay: float = Field(0.1, ge=0, description="weight decay of AdamW")
    clip_norm: float = Field(1.0, gt=0, description="maximum global norm of the gradient")
    target_spread: float = Field(
        0.0,
        ge=0,
        description="standard deviation, in bins, of the Gaussian that softens continuous-action targets; 0: one-hot",
    )
    max_skipped: PositiveInt = Field(
        20, description="consecutive batches without a finite gradient after which the run ends"
    )
    init: str | None = Field(
        None, description="checkpoint whose weights a new run starts from; `--init` sets it; null: random weights"
    )
    workers: Processes = Field(1, description="data-parallel workers")
    threads: Threads = Field(1, description="CPU threads of each worker")
    gpu: bool = Field(False, description="use one GPU for each worker")
    sharding: Literal["none", "full"] = Field(
        "none", description="none: every worker keeps the whole model (DDP); full: weights are sharded (FSDP2)"
    )
    accumulate: PositiveInt = Field(
        1, description="micro-batches of a worker's part of a batch, computed one after another"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="precision of matrix products; weights and optimizer state are always float32"
    )
    compile: bool = Field(
        False, description="compile blocks and patch embedding with torch.compile; on a CPU it needs a C++ compiler"
    )
    checkpoint_activations: bool = Field(
        False, description="recompute activations in the backward pass instead of keeping them in memory"
    )
    publish_seconds: float = Field(45.0, gt=0, description="minimum time between two broadcasts of weights, in seconds")
    checkpoint_seconds: float = Field(120.0, gt=0, description="minimum time between two checkpoints, in seconds")
    keep_checkpoints: PositiveInt = Field(
        2, description="newest checkpoints that are kept, in addition to the weights with the best score"
    )
    resources: CustomResources = Field({})


class RelabelConfig(Section):
    """Gato actors: they act with the newest weights, and the task's expert labels each step (DAgger).

    The schedule follows the run's progress, as the learning rate does: 0 at the start, 1 at the end of the run.
    """

    actors: OptionalProcesses = Field(
        0, description="Gato actors of each task whose expert can label; 0: demonstrations alone"
    )
    num_envs: Processes | None = Field(
        None, description="environments that one Gato actor steps as one batch; null: `num_envs` of the task"
    )
    start: Fraction = Field(
        0.1, description="progress at which Gato actors start, once the first weights have been broadcast"
    )
    until: Fraction = Field(
        0.4, description="progress at which both minima below are reached, linearly from `relabel.start` on"
    )
    min_beta: Fraction = Field(
        0.1, description="minimum of β: the share of Gato actors' episodes in which the expert acts; falls from 1"
    )
    min_demonstration_share: Fraction = Field(
        0.3, description="minimum of the share of demonstrations among a task's sequences; falls from 1"
    )
    self_imitation_threshold: float | None = Field(
        None,
        gt=0,
        description="expert-score fraction from which an episode of Gato is imitated itself; null: no self-imitation",
    )
    self_imitation_share: Fraction = Field(
        0.25, description="share of imitated Gato episodes among the sequences that are not demonstrations"
    )
    niceness: Niceness = Field(2, description="Unix niceness of Gato actors, so that the learner goes first")

    @model_validator(mode="after")
    def _check_order(self) -> "RelabelConfig":
        if self.until < self.start:
            raise ValueError(f"relabel.until {self.until} lies before relabel.start {self.start}")
        return self
