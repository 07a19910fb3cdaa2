"""The sections of a run's configuration: every key, its default and its meaning."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from gato_dist.config.model_presets import MODEL_PRESETS
from gato_dist.tasks import task_entry
from gato_dist.utils.port_filter import parse_networks

MOST = 2**31 - 1  # libraries count in int32
Positive = Annotated[int, Field(gt=0, le=MOST)]
NotNegative = Annotated[int, Field(ge=0, le=MOST)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # a uint32, as numpy's and the suites' generators take it
MOST_PORT = 2**16 - 1
Port = Annotated[int, Field(ge=0, le=MOST_PORT)]
Length = Annotated[int, Field(gt=0, lt=2**15)]  # of sequences: a token's place in one is an int16
Size = Annotated[int, Field(gt=0, le=2**16)]  # of a model's layers and tables
Threads = Annotated[int, Field(gt=0, le=2**10)]
Processes = Annotated[int, Field(gt=0, le=2**16)]
SomeProcesses = Annotated[int, Field(ge=0, le=2**16)]
Share = Annotated[float, Field(ge=0, le=1)]
RESERVED_ELSEWHERE = {
    "CPU": "`threads` or `cpus` reserves it",
    "GPU": "learner.gpu=true reserves one for each learner worker",
    "memory": "it cannot be reserved",
    "object_store_memory": "it cannot be reserved",
}


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _reservable(amounts: dict[str, float]) -> dict[str, float]:
    for name, amount in amounts.items():
        if name in RESERVED_ELSEWHERE:
            raise ValueError(f"{name} is no custom resource: {RESERVED_ELSEWHERE[name]}")
        if round(amount, 4) != amount:
            raise ValueError(f"{name}: Ray knows amounts of four decimals, got {amount:g}")
    return amounts


Reserved = Annotated[
    dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]],
    AfterValidator(_reservable),
    Field(description="custom Ray resources that each such process reserves: which nodes of a cluster it may run on"),
]


class TaskConfig(Section):
    """One task of the mixture."""

    name: str = Field(description="suite/name, as `gato-dist tasks` lists it")
    weight: float = Field(1.0, gt=0, description="share of the learner's sequences, relative to the other tasks")
    window_steps: NotNegative = Field(1, description="time steps that a window shows; 0: as many as fit a sequence")
    expert: str | None = Field(None, description="expert kind; the task's own where not given")
    expert_options: dict[str, Any] = Field({}, description="keyword arguments of the expert, over the task's own")
    num_envs: Processes = Field(8, description="environments that one expert actor steps together")
    demonstration_steps: Positive | None = Field(None, description="expert episodes are cut after so many steps")
    noise: float = Field(0.0, ge=0, lt=1, description="share of steps at which the expert's action is disturbed")
    noise_steps: Positive = Field(1, description="steps that a disturbance lasts")
    keep_repeats: Share = Field(1.0, description="share kept of windows whose actions only repeat the step before")
    relabel_actors: SomeProcesses | None = Field(None, description="`relabel.actors` for this task")
    relabel_steps: Positive | None = Field(
        None, description="Gato actors' episodes are cut after so many steps; by the task alone where not given"
    )

    @model_validator(mode="after")
    def _known(self) -> "TaskConfig":
        task_entry(self.name)
        return self


class CorpusConfig(Section):
    """Text, captions or questions about images, from files: one more part of the mixture."""

    name: str = Field(pattern=r"^[\w.-]+$", description="what its loss is called")
    kind: Literal["text", "caption", "vqa"] = Field(description="text alone; or an image with captions, or questions")
    paths: tuple[str, ...] = Field(
        min_length=1, description="one or several files or globs: .jsonl, .parquet, .tar; for text .txt as well"
    )
    weight: float = Field(1.0, gt=0, description="share of the learner's sequences, relative to the tasks'")
    split: Literal["paragraphs", "lines", "files"] = Field(
        "paragraphs", description="what a document is in a .txt file: up to an empty line, a line, or all of it"
    )
    text_key: str = Field("text", description="field of a text")
    image_key: str = Field("image", description="field of an image: its bytes, or its path from the file's folder")
    caption_key: str = Field("caption", description="field of a caption, or of a list, of which one is drawn")
    question_key: str = Field("question", description="field of a question")
    answer_key: str = Field("answer", description="field of an answer, or of a list, of which one is drawn")
    together: Positive = Field(
        1, description="images with their texts that a sequence shows one after the other (paper: 5)"
    )
    skip_damaged: bool = Field(
        False,
        description="whether documents that cannot be read are skipped and counted, up to 100 and a tenth of those "
        "read; else the first ends the run",
    )
    predict_question: bool = Field(True, description="whether questions carry loss too, as all text does in the paper")

    @field_validator("paths", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class TokensConfig(Section):
    """How observations and actions become tokens."""

    encoding: Literal["paper", "compact"] = Field(
        "compact", description="a token a number, or a token a tensor or row of a grid"
    )
    vocabulary: Literal["paper", "disjoint"] = Field(
        "disjoint", description="whether token ranges overlap as in the paper"
    )
    text: str = Field("default", description="a SentencePiece .model file, or `default` for the shipped one")
    text_size: Positive | None = Field(None, description="ids kept for text; the text model's size where not given")
    separators: Literal["shared", "task"] = Field(
        "shared", description="`task`: one of its own for each, which says what is asked where observations do not"
    )
    length: Length = Field(128, description="L: tokens in a sequence")
    image_size: tuple[Size, Size] = Field(
        (64, 64), description="height and width that images of corpora are scaled to; multiples of 16"
    )
    prompt_share: Share = Field(0.0, description="share of sequences led by a cut of another episode (paper: 0.25)")
    prompt_tokens: Positive = Field(512, description="most tokens of such a prompt; never more than half of `length`")


class ModelConfig(Section):
    """The transformer."""

    preset: str | None = Field(None, description="defaults of the other keys by name, as `gato-dist model` lists them")
    width: Size = 192
    layers: Size = 4
    heads: Size = 6
    key_size: Size = Field(32, description="width of a head's keys and values; even, for rotary positions")
    feed_forward: Size = Field(768, description="numbers inside the feed-forward layer, both halves of a GEGLU's")
    activation: Literal["gelu", "geglu"] = "gelu"
    positions: Literal["rotary", "learned"] = Field("rotary", description="how the order inside a sequence is told")
    max_positions: Size = Field(1024, description="rows of the table of learned positions: tokens.length or more")
    shared_embedding: bool = Field(False, description="whether the output layer is the token embedding (paper)")
    patch_channels: Size = Field(32, description="channels inside the residual block that embeds image patches")
    local_positions: Length = Field(256, description="rows of the local-position table: most observation tokens a step")
    action_positions: Literal["none", "shared", "index"] = Field(
        "shared", description="position embedding of action tokens"
    )
    past_actions: Literal["shown", "masked", "dropped"] = Field(
        "shown", description="whether later steps of a window see actions; dropped: not some of them, while training"
    )
    past_actions_drop: Share = Field(0.5, description="share of actions hidden with past_actions=dropped")
    dropout: Share = 0.0
    stochastic_depth: float = Field(
        0.0, ge=0, lt=1, description="probability that a row skips a sub-layer in training (paper: 0.1)"
    )

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, data: Any) -> Any:
        name = data.get("preset") if isinstance(data, dict) else None
        if name is None:
            return data
        if not isinstance(name, str) or name not in MODEL_PRESETS:
            raise ValueError(f"model.preset: there is no {name!r}; give one of {', '.join(MODEL_PRESETS)}")
        return MODEL_PRESETS[name] | data

    @model_validator(mode="after")
    def _even(self) -> "ModelConfig":
        if self.key_size % 2:
            raise ValueError(f"model.key_size: rotary positions need an even number, got {self.key_size}")
        if self.activation == "geglu" and self.feed_forward % 2:
            raise ValueError(f"model.feed_forward: GEGLU halves it, so it must be even, got {self.feed_forward}")
        return self


class LearnerConfig(Section):
    """Optimisation. A run ends after `steps` or `minutes`, whichever comes first; the schedule follows both."""

    steps: Positive = 100_000
    minutes: float | None = Field(None, gt=0, description="wall-clock minutes of training, resumed time included")
    batch: Positive = Field(32, description="sequences in a global batch")
    learning_rate: float = Field(1e-3, gt=0, description="maximum, after warm-up")
    warmup_steps: NotNegative = 200
    final_lr_ratio: Share = Field(0.1, description="the cosine ends at this share of the maximum (paper: a tenth)")
    weight_decay: float = Field(0.1, ge=0)
    clip_norm: float = Field(1.0, gt=0, description="gradients are scaled down to this global norm")
    target_spread: float = Field(
        0.0, ge=0, description="bins of Gaussian spread of continuous-action targets; 0: one-hot"
    )
    max_skipped: Positive = Field(20, description="batches without a finite gradient, one after another, end a run")
    init: str | None = Field(None, description="checkpoint whose weights a new run begins with; `--init` sets it")
    workers: Processes = Field(1, description="data-parallel workers")
    threads: Threads = Field(1, description="CPU threads of each worker")
    gpu: bool = Field(False, description="one GPU for each worker")
    sharding: Literal["none", "full"] = Field(
        "none", description="every worker keeps the whole model (DDP), or a share of every weight (FSDP2)"
    )
    accumulate: Positive = Field(1, description="parts of a worker's share of a batch, computed one after another")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="of matrix products; weights and the optimizer's state are float32 either way"
    )
    compile: bool = Field(False, description="torch.compile blocks and patches; needs a C++ compiler on a CPU")
    checkpoint_activations: bool = Field(False, description="compute activations twice rather than keep them")
    publish_seconds: float = Field(45.0, gt=0, description="least time between two broadcasts of the weights")
    checkpoint_seconds: float = Field(120.0, gt=0, description="least time between two checkpoints")
    keep_checkpoints: Positive = Field(2, description="newest ones that stay; the best-scored weights stay besides")
    resources: Reserved = {}


class ReplayConfig(Section):
    """Reverb: one table per task, on one server or over several."""

    port: Port = Field(
        0,
        description="of the replay server, the next ones of further servers; 0: free ones, as a server that is started "
        "again always takes",
    )
    allow: tuple[str, ...] | None = Field(
        None,
        description="networks, such as 10.0.0.0/16, that may reach a replay server beside its own machine, since it "
        "authenticates nobody; not given: on a cluster its nodes, on one machine none",
    )
    shards: Processes = Field(
        1, description="replay servers; experts go round them, so that tables are spread over them or lie on several"
    )
    cpus: float = Field(0.0, ge=0, allow_inf_nan=False, description="CPUs that each server reserves")
    resources: Reserved = {}
    size: Positive = Field(4000, description="sequences that a table keeps; the oldest leave first")
    min_size: Positive = Field(8, description="sequences in every table before the learner starts")
    max_sequences_ahead: Positive = Field(
        2000, description="sequences that experts may write before the first is sampled"
    )
    samples_per_insert: float = Field(4.0, gt=0, description="samples that let an expert write one more sequence")
    checkpoints: bool = Field(
        True,
        description="whether tables are written to the run folder with every checkpoint of the learner, and actors "
        "keep their rows until then",
    )

    @property
    def kept_sequences(self) -> int:
        """How many rows a writer keeps at most until a checkpoint has them; 0 without checkpoints."""
        return self.size if self.checkpoints else 0

    @field_validator("allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        parse_networks(value or ())
        return value


class DataConfig(Section):
    """Episodes from disk (`gato-dist collect`): alone with `train --data`, or beside live experts."""

    path: str | None = Field(None, description="a dataset that live experts are mixed with; not for `train --data`")
    share: Share = Field(
        0.5, description="share from disk of the sequences of each task that `path` holds; 1: no expert"
    )
    lanes: Processes | None = Field(
        None,
        description="parts of a batch, each with its own share of the episodes: what keeps batches the same whatever "
        "the number of workers; not given: the most up to 8 that divide learner.batch, or as many as workers",
    )
    loaders: SomeProcesses = Field(
        1, description="with `train --data`: processes of each learner worker that read and encode; 0: its own"
    )


class ActorsConfig(Section):
    """Expert actors: one per task and copy."""

    copies: Processes = Field(1, description="expert actors per task")
    threads: Threads = Field(1, description="environment threads of an actor")
    niceness: NotNegative = Field(
        10, le=19, description="how far expert actors give way to the learner on a busy machine"
    )
    max_failures: Positive = Field(
        5,
        description="starts of an actor that dies, fails or hangs before its task is quarantined; of evaluators, "
        "for each task; one of long ago counts no more",
    )
    hang_seconds: float = Field(
        600.0,
        gt=0,
        description="without a step, after which an actor or an evaluator counts as hanging, the making of its "
        "environments included but waiting for room in replay not; the learner waits no longer for a task's first "
        "sequences either",
    )
    resources: Reserved = {}


class RelabelConfig(Section):
    """Gato actors: they roll out the newest weights, and the task's expert says what it would have done (DAgger).

    All of it follows the run's progress, as the learning rate does: the share of its steps or minutes that is over.
    """

    actors: SomeProcesses = Field(
        0, description="Gato actors of each task whose expert can label; 0: demonstrations alone"
    )
    num_envs: Processes | None = Field(
        None, description="environments that one Gato actor steps together; the task's num_envs where not given"
    )
    start: Share = Field(
        0.1, description="progress at which Gato begins to act; never before the first weights are out"
    )
    until: Share = Field(0.4, description="progress at which both shares below are at their floors; linear from start")
    min_beta: Share = Field(
        0.1, description="β's floor: share of Gato actors' episodes that the expert acts itself; it falls from 1"
    )
    min_demonstration_share: Share = Field(
        0.3, description="floor of demonstrations' share of a task's sequences; it falls from 1"
    )
    self_imitation_threshold: float | None = Field(
        None, gt=0, description="expert-score fraction from which on Gato's episodes teach its own actions; none: off"
    )
    self_imitation_share: Share = Field(
        0.25, description="share of such episodes in the sequences that are no demonstrations"
    )
    niceness: NotNegative = Field(2, le=19, description="how far Gato actors give way to the learner on a busy machine")

    @model_validator(mode="after")
    def _ordered(self) -> "RelabelConfig":
        if self.until < self.start:
            raise ValueError(f"relabel.until {self.until} lies before relabel.start {self.start}")
        return self


class MixtureConfig(Section):
    """How much of the learner's sequences each task is given."""

    adaptive: bool = Field(
        False, description="more to tasks that lag behind their experts and still gain; else `weight` alone decides"
    )
    floor: Share = Field(0.25, description="with `adaptive`, the least part of its own weight that a task may be left")


class EvaluationConfig(Section):
    """Scoring the newest weights on every task, on seeds that no expert uses."""

    actors: Processes = 1
    episodes: Positive = Field(8, description="episodes per task and weights version while training goes on")
    final_episodes: Positive = Field(16, description="episodes per task of the last weights")
    temperature: float = Field(0.0, ge=0, description="0: greedy; otherwise actions are sampled")
    valid_actions_only: bool = Field(
        True, description="choose among the task's own action tokens; else any token, taken to the nearest valid one"
    )
    prompt_tokens: NotNegative = Field(
        0, description="tokens of an expert's demonstration that lead every episode; at most half of tokens.length"
    )
    every_seconds: float = Field(150.0, ge=0, description="least time between two versions that are scored")
    task_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the tasks that a version is scored on, those with the oldest scores first",
    )
    stale_seconds: float | None = Field(
        None, gt=0, description="tasks whose score would be older before the next version are scored as well"
    )
    stop_at: float | None = Field(None, description="mean fraction over tasks at which training ends early")
    patience: Positive | None = Field(
        None, description="means over all tasks, one after another, without a new best that end training early"
    )
    video_seconds: NotNegative = Field(
        0, description="least time between two videos of a task for TensorBoard, the last weights' besides; 0: none"
    )
    final_actors: Processes = Field(2, description="evaluators once training has ended")
    threads: Threads = 1
    niceness: NotNegative = Field(5, le=19, description="how far evaluators give way to the learner on a busy machine")
    resources: Reserved = {}


class RayConfig(Section):
    """Where the system runs."""

    address: str | None = Field(None, description="of a running cluster (or `auto`); none: start Ray on this machine")
    cpus: Processes | None = Field(
        None, description="CPUs that a Ray started here offers; its own count where not given"
    )
