"""Configuration of a run's processes: replay servers, actors, evaluators, and the Ray cluster they run on."""

from pydantic import Field, field_validator

from gato_dist.config.field_types import (
    CustomResources,
    Niceness,
    NonNegativeInt,
    Port,
    PositiveInt,
    Processes,
    Section,
    Threads,
)
from gato_dist.utils.port_filter import parse_networks


class ReplayConfig(Section):
    """Reverb: one table for each task, on one server or spread over several."""

    port: Port = Field(
        0,
        description="port of the first replay server; further servers take the next ports; 0: free ports, which a "
        "restarted server takes in any case",
    )
    allow: tuple[str, ...] | None = Field(
        None,
        description="networks, such as 10.0.0.0/16, that may connect to replay servers, which authenticate nobody; "
        "null: the nodes of the cluster, or this machine alone if there is no cluster",
    )
    shards: Processes = Field(1, description="replay servers; experts are assigned to them in turn")
    cpus: float = Field(0.0, ge=0, allow_inf_nan=False, description="CPUs that Ray reserves for each server")
    resources: CustomResources = Field({})
    size: PositiveInt = Field(4000, description="maximum number of sequences in a table; the oldest are removed first")
    min_size: PositiveInt = Field(8, description="sequences that every table must hold before the learner starts")
    max_sequences_ahead: PositiveInt = Field(
        2000,
        description="sequences that experts may write before the first is sampled; afterwards, how far they may get "
        "ahead of the learner",
    )
    samples_per_insert: float = Field(
        4.0, gt=0, description="how often the learner samples for each sequence that an expert writes, on average"
    )
    checkpoints: bool = Field(
        True,
        description="save the tables with every checkpoint of the learner; until then actors keep what they wrote",
    )

    @property
    def kept_sequences(self) -> int:
        """Returns how many sequences a writer keeps for the next checkpoint; 0 without checkpoints."""
        return self.size if self.checkpoints else 0

    @field_validator("allow")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        parse_networks(value or ())
        return value


class ActorsConfig(Section):
    """Expert actors: one for each task and copy."""

    copies: Processes = Field(1, description="expert actors for each task")
    threads: Threads = Field(1, description="environment threads of each actor")
    niceness: Niceness = Field(10, description="Unix niceness of expert actors, so that the learner goes first")
    max_failures: PositiveInt = Field(
        5,
        description="recent failures (deaths, errors, hangs) of an actor at which its task is quarantined instead of "
        "restarted; evaluators count for each task; failures of long ago do not count",
    )
    hang_seconds: float = Field(
        600.0,
        gt=0,
        description="seconds without a step after which an actor or evaluator counts as hanging; making environments "
        "is included, waiting for replay is not; the learner waits as long for a task's first sequences",
    )
    resources: CustomResources = Field({})


class EvaluationConfig(Section):
    """Scoring the newest weights on every task, on seeds that no expert demonstrates."""

    actors: Processes = Field(1, description="evaluators during training")
    episodes: PositiveInt = Field(8, description="episodes for each task and weights version during training")
    final_episodes: PositiveInt = Field(16, description="episodes for each task with the last weights")
    temperature: float = Field(0.0, ge=0, description="sampling temperature of actions; 0: the most likely action")
    valid_actions_only: bool = Field(
        True,
        description="choose among the task's own action tokens; false: among all tokens, then the nearest valid action",
    )
    prompt_tokens: NonNegativeInt = Field(
        0,
        description="tokens of an expert's demonstration at the start of every episode; at most half of "
        "`tokens.length`; 0: no prompt",
    )
    every_seconds: float = Field(
        150.0, ge=0, description="minimum time between two weights versions that are scored, in seconds"
    )
    task_fraction: float = Field(
        1.0,
        gt=0,
        le=1,
        description="fraction of the tasks on which a weights version is scored; tasks with the oldest scores go first",
    )
    stale_seconds: float | None = Field(
        None,
        gt=0,
        description="a task is scored in addition if its score would be older than this, in seconds, before the next "
        "version; null: no limit",
    )
    stop_at: float | None = Field(
        None, description="mean expert-score fraction over tasks at which training ends early; null: never"
    )
    patience: PositiveInt | None = Field(
        None, description="consecutive means over all tasks without a new best that end training early; null: never"
    )
    video_seconds: NonNegativeInt = Field(
        0,
        description="minimum time between two videos of a task in TensorBoard, in seconds; the last weights are filmed "
        "in addition; 0: no videos",
    )
    final_actors: Processes = Field(2, description="evaluators after training has ended")
    threads: Threads = Field(1, description="threads of each evaluator, for environments and for the model")
    niceness: Niceness = Field(5, description="Unix niceness of evaluators, so that the learner goes first")
    resources: CustomResources = Field({})


class RayConfig(Section):
    """The Ray cluster that the processes run on."""

    address: str | None = Field(
        None, description="address of a running cluster, or `auto`; null: start Ray on this machine"
    )
    cpus: Processes | None = Field(
        None, description="CPUs that a Ray started on this machine offers; null: as many as the machine has"
    )
