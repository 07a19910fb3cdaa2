"""Configuration of what is learned: tasks, corpora, their mixture, tokens, and datasets on disk."""

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from gato_dist.config.field_types import (
    Fraction,
    LayerSize,
    NonNegativeInt,
    OptionalProcesses,
    PositiveInt,
    Processes,
    Section,
    SequenceLength,
)
from gato_dist.tasks import task_entry


class TaskConfig(Section):
    """One task of the mixture."""

    name: str = Field(description="suite/name, as `gato-dist tasks` lists it")
    weight: float = Field(
        1.0, gt=0, description="how many of the learner's sequences come from this task, relative to the other weights"
    )
    window_steps: NonNegativeInt = Field(
        1, description="time steps in one sequence; 0: as many as fit into `tokens.length`"
    )
    expert: str | None = Field(
        None, description="kind of expert, as `gato-dist experts list` shows them; null: the task's own"
    )
    expert_options: dict[str, Any] = Field(
        {}, description="keyword arguments for the expert; they override those of the task"
    )
    num_envs: Processes = Field(8, description="environments that one expert actor steps as one batch")
    demonstration_steps: PositiveInt | None = Field(
        None, description="maximum length of an expert's episode, in time steps; null: only the task limits it"
    )
    noise: float = Field(
        0.0, ge=0, lt=1, description="fraction of time steps at which a random action replaces the expert's"
    )
    noise_steps: PositiveInt = Field(1, description="time steps for which each random action is held")
    keep_repeats: Fraction = Field(
        1.0, description="fraction that is kept of the windows in which every action repeats the previous one"
    )
    relabel_actors: OptionalProcesses | None = Field(
        None, description="overrides `relabel.actors` for this task; null: no override"
    )
    relabel_steps: PositiveInt | None = Field(
        None, description="maximum length of a Gato actor's episode, in time steps; null: only the task limits it"
    )

    @model_validator(mode="after")
    def _check_name(self) -> "TaskConfig":
        task_entry(self.name)
        return self


class CorpusConfig(Section):
    """Text, image captions, or questions about images from files: another part of the mixture."""

    name: str = Field(
        pattern=r"^[\w.-]+$", description="name of the corpus in losses and logs: letters, digits, `_`, `.` and `-`"
    )
    kind: Literal["text", "caption", "vqa"] = Field(
        description="text: text alone; caption: images with captions; vqa: images with questions and answers"
    )
    paths: tuple[str, ...] = Field(
        min_length=1, description="one or more files or globs: .jsonl, .parquet or .tar, and .txt for text"
    )
    weight: float = Field(
        1.0,
        gt=0,
        description="how many of the learner's sequences come from this corpus, relative to the other weights",
    )
    split: Literal["paragraphs", "lines", "files"] = Field(
        "paragraphs",
        description="what one document is in a .txt file: text up to an empty line, a line, or the whole file",
    )
    text_key: str = Field("text", description="field that holds a text")
    image_key: str = Field(
        "image", description="field that holds an image's bytes, or its path relative to the file's folder"
    )
    caption_key: str = Field(
        "caption", description="field that holds a caption, or a list of captions from which one is drawn"
    )
    question_key: str = Field("question", description="field that holds a question")
    answer_key: str = Field(
        "answer", description="field that holds an answer, or a list of answers from which one is drawn"
    )
    together: PositiveInt = Field(1, description="images, each with its text, in one sequence (paper: 5)")
    skip_damaged: bool = Field(
        False,
        description="skip and count documents that cannot be read, up to 100 plus a tenth of those read; false: the "
        "first one ends the run",
    )
    predict_question: bool = Field(
        True, description="train on the questions' tokens too, as the paper does with all text; false: on answers alone"
    )

    @field_validator("paths", mode="before")
    @classmethod
    def _accept_one_path(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class TokensConfig(Section):
    """How observations and actions become tokens."""

    encoding: Literal["paper", "compact"] = Field(
        "compact",
        description="paper: one token for each number and image patch; compact: one token for each tensor, grid row "
        "and image patch",
    )
    vocabulary: Literal["paper", "disjoint"] = Field(
        "disjoint", description="paper: ranges of token ids overlap as in the paper; disjoint: each kind has its own"
    )
    text: str = Field("default", description="path of a SentencePiece .model file, or `default` for the built-in one")
    text_size: PositiveInt | None = Field(
        None, description="token ids reserved for text; null: the size of the text model"
    )
    separators: Literal["shared", "task"] = Field(
        "shared",
        description="shared: one separator token for all tasks; task: one for each task, which tells the model the "
        "task when observations do not",
    )
    length: SequenceLength = Field(128, description="tokens in one sequence (L)")
    image_size: tuple[LayerSize, LayerSize] = Field(
        (64, 64), description="height and width in pixels to which images of corpora are scaled; multiples of 16"
    )
    prompt_share: Fraction = Field(
        0.0, description="share of sequences that begin with a part of another episode of the task (paper: 0.25)"
    )
    prompt_tokens: PositiveInt = Field(
        512, description="maximum length of such a prompt, in tokens; at most half of `tokens.length` is used"
    )


class DataConfig(Section):
    """Episodes from disk (`gato-dist collect`): alone with `train --data`, or mixed with live experts."""

    path: str | None = Field(
        None, description="dataset that is mixed with live experts; not for `train --data`; null: none"
    )
    share: Fraction = Field(
        0.5, description="share from disk of the sequences of each task that `data.path` holds; 1: no live expert"
    )
    lanes: Processes | None = Field(
        None,
        description="parts of a batch, each of which reads its own episodes, so that batches do not depend on the "
        "number of workers; null: the largest multiple of `learner.workers` up to 8 that divides `learner.batch`, or "
        "`learner.workers` if that is larger",
    )
    loaders: OptionalProcesses = Field(
        1,
        description="with `train --data`: processes of each learner worker that read and encode; 0: the worker itself",
    )


class MixtureConfig(Section):
    """How the learner's sequences are divided among tasks."""

    adaptive: bool = Field(
        False,
        description="give more to tasks that are behind their experts and still improve; false: `weight` alone decides",
    )
    floor: Fraction = Field(
        0.25, description="with `mixture.adaptive`: the smallest part of its own weight that a task can get"
    )
