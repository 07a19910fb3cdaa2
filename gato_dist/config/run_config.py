"""The whole configuration of a run: checks across sections, and reading and writing it as YAML.

All input is read and checked before any heavy import. The keys are defined in data_sections.py, training_sections.py
and process_sections.py; docs/reference/configuration.md lists them.
"""

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from gato_dist.config.data_sections import CorpusConfig, DataConfig, MixtureConfig, TaskConfig, TokensConfig
from gato_dist.config.field_types import MAX_PORT, Section, Seed
from gato_dist.config.process_sections import ActorsConfig, EvaluationConfig, RayConfig, ReplayConfig
from gato_dist.config.training_sections import LearnerConfig, ModelConfig, RelabelConfig
from gato_dist.errors import MAX_ERROR_LENGTH, READ_ERRORS, InputError, brief

PATCH_PIXELS = 16  # height and width of an image patch
RANGE_ERRORS = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}
# Limits of a YAML file. Each alias, and each pair of references, can double the size of the result.
MAX_DEPTH, MAX_ALIASES, MAX_REFERENCES = 100, 10, 40


class RunConfig(Section):
    """The whole configuration of `gato-dist train`."""

    name: str = Field(
        pattern=r"^[\w.-]+$",
        description="name of the run: letters, digits, `_`, `.` and `-`; its folder is runs/NAME "
        "unless `--run` is given",
    )
    seed: Seed = Field(0, description="seed of all random numbers of the run")
    tasks: tuple[TaskConfig, ...] = Field((), description="tasks of the mixture, a list")
    corpora: tuple[CorpusConfig, ...] = Field((), description="corpora of the mixture, a list")
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
    def _check_sections_together(self) -> "RunConfig":
        self._check_mixture()
        self._check_images()
        self._check_batch()
        self._check_lengths()
        self._check_replay()
        self._check_cluster()
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Returns the mixture: weights of tasks, then of corpora, by name, in the order of a batch's task indices."""
        tasks = {task.name: task.weight for task in self.tasks}
        return tasks | {corpus.name: corpus.weight for corpus in self.corpora}

    @property
    def lanes(self) -> int:
        """Returns the number of lanes of a batch from disk: `data.lanes`, or its default for this batch and workers."""
        batch, workers = self.learner.batch, self.learner.workers
        limit = max(8, workers)
        return self.data.lanes or max(n for n in range(workers, limit + 1, workers) if batch % n == 0)

    def with_absolute_paths(self) -> "RunConfig":
        """Returns a copy with absolute paths, because Ray's processes have working directories of their own."""
        path = self.data.path
        if path is not None and "://" not in path:
            path = os.path.abspath(path)
        corpora = [
            corpus.model_copy(update={"paths": tuple(map(os.path.abspath, corpus.paths))}) for corpus in self.corpora
        ]
        return self.model_copy(update={"data": self.data.model_copy(update={"path": path}), "corpora": tuple(corpora)})

    def _check_mixture(self) -> None:
        for key, parts in (("tasks", self.tasks), ("corpora", self.corpora)):
            names = [part.name for part in parts]
            repeated = {name for name in names if names.count(name) > 1}
            if repeated:
                raise ValueError(f"{key}: {', '.join(sorted(repeated))} is listed twice")
        if not self.weights:
            raise ValueError("tasks: there is nothing to learn; list at least one task, or something in corpora")

    def _check_batch(self) -> None:
        batch, workers = self.learner.batch, self.learner.workers
        parts = workers * self.learner.accumulate
        if batch % parts:
            raise ValueError(f"learner.batch {batch} is no multiple of learner.workers × learner.accumulate: {parts}")
        if batch % self.lanes or self.lanes % workers:
            raise ValueError(
                f"data.lanes {self.lanes} must divide learner.batch {batch} and be a multiple of "
                f"learner.workers {workers}"
            )

    def _check_lengths(self) -> None:
        length, prompt = self.tokens.length, self.evaluation.prompt_tokens
        if self.model.positions == "learned" and self.model.max_positions < length:
            raise ValueError(f"model.max_positions: {self.model.max_positions} is less than tokens.length {length}")
        if prompt > length // 2:
            raise ValueError(f"evaluation.prompt_tokens: {prompt} is more than half of tokens.length {length}")

    def _check_images(self) -> None:
        height, width = self.tokens.image_size
        if height % PATCH_PIXELS or width % PATCH_PIXELS:
            raise ValueError(f"tokens.image_size: sides must be multiples of {PATCH_PIXELS}, got {height}×{width}")
        if all(corpus.kind == "text" for corpus in self.corpora):
            return
        patches = (height // PATCH_PIXELS) * (width // PATCH_PIXELS)
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

    def _check_replay(self) -> None:
        replay, experts = self.replay, len(self.tasks) * self.actors.copies
        if replay.min_size > min(replay.max_sequences_ahead, replay.size):
            raise ValueError(
                "replay.min_size must not exceed replay.max_sequences_ahead and replay.size: "
                "the learner would never start"
            )
        if replay.shards > max(experts, 1):
            raise ValueError(f"replay.shards: {replay.shards} servers are more than the {experts} experts that write")
        if replay.port and replay.port + replay.shards - 1 > MAX_PORT:
            raise ValueError(f"replay.port: {replay.port} leaves {replay.shards} servers no ports below 65536")

    def _check_cluster(self) -> None:
        reserved = {
            "replay": self.replay.resources,
            "actors": self.actors.resources,
            "evaluation": self.evaluation.resources,
            "learner": self.learner.resources,
        }
        for section, resources in reserved.items():
            if resources and not self.ray.address:
                raise ValueError(f"{section}.resources: only nodes of a cluster offer any; give its ray.address")


def load_config(path: str | Path, overrides: list[str] | None = None) -> RunConfig:
    """Reads a YAML file, applies overrides and checks the result.

    Args:
        path: YAML file.
        overrides: `key=value`, such as `learner.batch=64` or `tasks.0.weight=2`. The last value of a key counts.

    Raises:
        InputError: if the file cannot be read or a value is wrong. One line that names the file or key.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        _check_yaml_size(Path(path).read_text("utf-8"))
        tree = OmegaConf.load(path)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: cannot be read ({error.__class__.__name__}); give a YAML file such as configs/quickstart.yaml"
        ) from error
    except YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {brief(error)}") from error
    except (OmegaConfBaseException, *READ_ERRORS) as error:
        raise InputError(f"{path}: cannot be read as keys and values: {brief(error)}") from error
    for override in overrides or []:
        _apply_override(tree, override)
    try:
        data = OmegaConf.to_container(tree, resolve=True)
    except (OmegaConfBaseException, YAMLError, *READ_ERRORS) as error:
        raise InputError(f"{path}: {brief(error)}") from error
    return parse_config(data, str(path))


def parse_config(data: Any, source: str) -> RunConfig:
    """Checks plain data and returns the configuration.

    Args:
        data: nested dicts and lists, as in a YAML file.
        source: where the data comes from; error messages begin with it.

    Raises:
        InputError: if a key or value is wrong. One line that names the key and what is wrong with it.
    """
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
        if first["type"] in RANGE_ERRORS:
            message += f", got {str(first['input'])[:MAX_ERROR_LENGTH]}"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise InputError(f"{source}: {key + ': ' if key else ''}{message}{more}") from error


def dump_config(config: RunConfig) -> str:
    """Returns the configuration as YAML, which `load_config` reads back to an equal one."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.create(config.model_dump(mode="json")))


def _apply_override(tree: Any, override: str) -> None:
    """Sets one key of an OmegaConf tree. A value of several keys is merged, as in `learner={batch: 8}`.

    Raises:
        InputError: if the override has another form, or its key is not in the tree. The message names the key.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    key, sign, value = override.partition("=")
    parts = key.replace("[", ".").replace("]", "").split(".")
    if not sign or not all(parts) or key[0] in "+~":
        raise InputError(f"{override}: overrides have the form key=value, such as learner.batch=64 or tasks.0.weight=2")
    try:
        _check_yaml_size(value)
        _check_list_indices(tree, key, parts)
        parsed: Any = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={value}"]))
        OmegaConf.update(tree, ".".join(parts), parsed["value"])
    except (OmegaConfBaseException, YAMLError, *READ_ERRORS) as error:
        raise InputError(f"{key}: {brief(error)}") from error


def _check_list_indices(tree: Any, key: str, parts: list[str]) -> None:
    """Raises InputError if a part of the key indexes a list, but is no index of one of its entries."""
    from omegaconf import ListConfig, OmegaConf

    for depth, part in enumerate(parts):
        parent = OmegaConf.select(tree, ".".join(parts[:depth])) if depth else tree
        if isinstance(parent, ListConfig) and not (part.isdecimal() and int(part) < len(parent)):
            name, last = ".".join(parts[:depth]), len(parent) - 1
            entries = f"its entries are {name}.0 to {name}.{last}" if parent else f"{name} has no entries"
            raise InputError(f"{key}: there is no {part!r} in {name}; {entries}")


def _check_yaml_size(text: str) -> None:
    """Raises ValueError for YAML that would fill the memory, or crash libyaml, whose recursion has no limit."""
    import yaml

    depth = aliases = 0
    for event in yaml.parse(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        aliases += isinstance(event, yaml.AliasEvent)
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    if aliases > MAX_ALIASES or text.count("${") > MAX_REFERENCES:
        raise ValueError(f"more than {MAX_ALIASES} aliases or {MAX_REFERENCES} references to other keys")
