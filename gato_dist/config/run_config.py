"""A run's configuration as a whole: what its sections may not say together, and how it is read and written.

Read and refused before any heavy import. Every key stands in config_sections.py.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from gato_dist.config.sections import (
    MOST_PORT,
    ActorsConfig,
    CorpusConfig,
    DataConfig,
    EvaluationConfig,
    LearnerConfig,
    MixtureConfig,
    ModelConfig,
    RayConfig,
    RelabelConfig,
    ReplayConfig,
    Section,
    Seed,
    TaskConfig,
    TokensConfig,
)  # fmt: skip
from gato_dist.errors import DAMAGED, MOST_SAID, InputError, brief

PATCH = 16  # pixels of an image patch's side
# Of a configuration's text: each alias, and each two references, may double what comes of it.
BOUNDS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
MOST_LEVELS, MOST_ALIASES, MOST_REFERENCES = 100, 10, 40


class RunConfig(Section):
    """The whole configuration of `gato-dist train`."""

    name: str = Field(pattern=r"^[\w.-]+$", description="names the run folder, runs/<name>")
    seed: Seed = 0
    tasks: tuple[TaskConfig, ...] = ()
    corpora: tuple[CorpusConfig, ...] = ()
    tokens: TokensConfig = TokensConfig()
    model: ModelConfig = ModelConfig()
    learner: LearnerConfig = LearnerConfig()
    replay: ReplayConfig = ReplayConfig()
    data: DataConfig = DataConfig()
    actors: ActorsConfig = ActorsConfig()
    relabel: RelabelConfig = RelabelConfig()
    mixture: MixtureConfig = MixtureConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    ray: RayConfig = RayConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "RunConfig":
        for key, named in (("tasks", self.tasks), ("corpora", self.corpora)):
            names = [part.name for part in named]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise ValueError(f"{key}: {', '.join(sorted(twice))} is listed twice")
        if not self.weights:
            raise ValueError("tasks: there is nothing to learn; list at least one task, or something in corpora")
        self._check_images()
        parts = self.learner.workers * self.learner.accumulate
        if self.learner.batch % parts:
            raise ValueError(
                f"learner.batch {self.learner.batch} is no multiple of learner.workers × learner.accumulate: {parts}"
            )
        if self.learner.batch % self.lanes or self.lanes % self.learner.workers:
            raise ValueError(
                f"data.lanes {self.lanes} must divide learner.batch {self.learner.batch} and be a multiple of "
                f"learner.workers {self.learner.workers}"
            )
        if self.model.positions == "learned" and self.model.max_positions < self.tokens.length:
            raise ValueError(
                f"model.max_positions: {self.model.max_positions} is less than tokens.length {self.tokens.length}"
            )
        if self.evaluation.prompt_tokens > self.tokens.length // 2:
            raise ValueError(
                f"evaluation.prompt_tokens: {self.evaluation.prompt_tokens} is more than half of tokens.length "
                f"{self.tokens.length}"
            )
        if self.replay.min_size > min(self.replay.max_sequences_ahead, self.replay.size):
            raise ValueError(
                "replay.min_size must not exceed replay.max_sequences_ahead and replay.size: "
                "the learner would never start"
            )
        self._check_cluster()
        return self

    @property
    def weights(self) -> dict[str, float]:
        """The mixture: weights of tasks, then corpora, by name, in the order of a batch's task indices."""
        tasks = {task.name: task.weight for task in self.tasks}
        return tasks | {corpus.name: corpus.weight for corpus in self.corpora}

    def _check_images(self) -> None:
        height, width = self.tokens.image_size
        if height % PATCH or width % PATCH:
            raise ValueError(f"tokens.image_size: sides must be multiples of {PATCH}, got {height}×{width}")
        patches = (height // PATCH) * (width // PATCH)
        if all(corpus.kind == "text" for corpus in self.corpora):
            return
        if patches + 2 > self.tokens.length:
            raise ValueError(
                f"tokens.image_size: {height}×{width} are {patches} patches, which leave no room for text in "
                f"tokens.length {self.tokens.length}"
            )
        if patches > self.model.local_positions:
            raise ValueError(
                f"model.local_positions: {self.model.local_positions}, but the {patches} patches of "
                f"tokens.image_size {height}×{width} need as many"
            )

    def _check_cluster(self) -> None:
        experts = len(self.tasks) * self.actors.copies
        if self.replay.shards > max(experts, 1):
            raise ValueError(
                f"replay.shards: {self.replay.shards} servers are more than the {experts} experts that write"
            )
        if self.replay.port and self.replay.port + self.replay.shards - 1 > MOST_PORT:
            raise ValueError(
                f"replay.port: {self.replay.port} leaves {self.replay.shards} servers no ports below 65536"
            )
        for section in ("replay", "actors", "evaluation", "learner"):
            if getattr(self, section).resources and not self.ray.address:
                raise ValueError(f"{section}.resources: only nodes of a cluster offer any; give its ray.address")

    def with_absolute_paths(self) -> "RunConfig":
        """The same, read from any working directory: Ray's processes have their own."""
        here = self.data.path
        path = os.path.abspath(here) if here is not None and "://" not in here else here
        corpora = [
            corpus.model_copy(update={"paths": tuple(map(os.path.abspath, corpus.paths))}) for corpus in self.corpora
        ]
        return self.model_copy(update={"data": self.data.model_copy(update={"path": path}), "corpora": tuple(corpora)})

    @property
    def lanes(self) -> int:
        """Parts of a batch from disk."""
        batch, workers = self.learner.batch, self.learner.workers
        most = max(8, workers)
        return self.data.lanes or max(n for n in range(workers, most + 1, workers) if batch % n == 0)


def load_config(path: str | Path, overrides: list[str] | None = None) -> RunConfig:
    """A YAML file and dotted `key=value` overrides, validated. Raises InputError, one line, naming the key or file."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    try:
        _check_size(Path(path).read_text("utf-8"))
        tree = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error.__class__.__name__}); give a YAML file such as configs/quickstart.yaml"
        ) from error
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {brief(error)}") from error
    except (OmegaConfBaseException, *DAMAGED) as error:
        raise InputError(f"{path}: cannot be read as keys and values: {brief(error)}") from error
    for override in overrides or []:
        _override(tree, override)
    try:
        data = OmegaConf.to_container(tree, resolve=True)
    except (OmegaConfBaseException, YAMLError, *DAMAGED) as error:
        raise InputError(f"{path}: {brief(error)}") from error
    return parse_config(data, str(path))


def _override(tree: Any, override: str) -> None:
    """Sets a key of `tree`; lists are indexed as `tasks.0.weight` or `tasks[0].weight`. Raises InputError by the key.

    The last of several values of a key counts. A value of several keys is merged, as in `learner={batch: 8}`.
    """
    from omegaconf import ListConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    key, sign, value = override.partition("=")
    parts = key.replace("[", ".").replace("]", "").split(".")
    if not sign or not all(parts) or key[0] in "+~":
        raise InputError(f"{override}: overrides have the form key=value, such as learner.batch=64 or tasks.0.weight=2")
    try:
        _check_size(value)
        for depth, part in enumerate(parts):
            above = OmegaConf.select(tree, ".".join(parts[:depth])) if depth else tree
            if isinstance(above, ListConfig) and not (part.isdecimal() and int(part) < len(above)):
                name, last = ".".join(parts[:depth]), len(above) - 1
                has = f"its entries are {name}.0 to {name}.{last}" if above else f"{name} has no entries"
                raise InputError(f"{key}: there is no {part!r} in {name}; {has}")
        parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
        OmegaConf.update(tree, ".".join(parts), parsed["value"])
    except (OmegaConfBaseException, YAMLError, *DAMAGED) as error:
        raise InputError(f"{key}: {brief(error)}") from error


def _check_size(text: str) -> None:
    """Raises ValueError for YAML that would end the process or fill its memory: libyaml's recursion knows no end."""
    import yaml

    depth = aliases = 0
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MOST_LEVELS:
            raise ValueError(f"nested more than {MOST_LEVELS} levels deep")
    if aliases > MOST_ALIASES or text.count("${") > MOST_REFERENCES:
        raise ValueError(f"more than {MOST_ALIASES} aliases or {MOST_REFERENCES} references to other keys")


def parse_config(data: Any, source: str) -> RunConfig:
    """Validates plain data. Raises InputError naming `source`, the key and what is wrong with it."""
    if not isinstance(data, dict):
        raise InputError(f"{source}: expected keys and values, got {type(data).__name__}")
    try:
        return RunConfig.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "no such key"
        if first["type"] in BOUNDS:
            message += f", got {str(first['input'])[:MOST_SAID]}"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(f"{source}: {key + ': ' if key else ''}{message}{more}") from error


def dump_config(config: RunConfig) -> str:
    """YAML of the resolved configuration; `load_config` reads it back to an equal one."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))
