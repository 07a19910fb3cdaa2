"""A checkpoint: a folder with config, tokenizer, weights, optimizer state and counters. Loading never unpickles."""

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gato_dist.config.run_config import RunConfig, dump_config, load_config
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.model.gato import Gato
from gato_dist.scores.references import Reference
from gato_dist.sequence import DataPosition
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.files import sha256_of
from gato_dist.utils.manifest import MANIFEST, seal, verify
from gato_dist.utils.typed_json import read_as, to_json
from learner.state import load_model, load_optimizer, model_tensors, optimizer_tensors
from learner.weights_file import read_file_references, read_weights_file, write_weights_file

WEIGHTS, OPTIMIZER, COUNTERS = "model.safetensors", "optimizer.safetensors", "counters.json"
REFERENCES = "references.json"  # random and expert scores of the tasks, if they were measured


@dataclass
class Counters:
    """Progress of a run.

    Attributes:
        step: gradient steps.
        tokens: tokens of all batches, without padding.
        seconds: wall-clock time of training, over all resumptions.
        weights_version: last published version.
        skipped: batches that were skipped because their gradient was not finite.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    weights_version: int = 0
    skipped: int = 0


def build_model(config: RunConfig, tokenizer: Tokenizer) -> Gato:
    """Makes a new model with random weights from the run's seed."""
    torch.manual_seed(config.seed)
    return Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The contents of a checkpoint, copied to host memory, so that training continues while it is written."""

    config: RunConfig
    tokenizer: Tokenizer
    counters: Counters
    position: DataPosition | None
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    references: dict[str, Reference] = field(default_factory=dict)

    @classmethod
    def take(
        cls,
        config: RunConfig,
        tokenizer: Tokenizer,
        *,
        model: Gato,
        optimizer: torch.optim.Optimizer,
        counters: Counters,
        position: DataPosition | None = None,
        references: dict[str, Reference] | None = None,
    ) -> "Snapshot":
        """Copies the state of training. All workers must call it; only the first worker's snapshot holds tensors.

        Args:
            config: of the run.
            tokenizer: of the run.
            model: the model.
            optimizer: its optimizer.
            counters: progress of the run.
            position: position in the data on disk, if the run reads any.
            references: reference scores of the tasks, by name.
        """
        return cls(
            config=config,
            tokenizer=tokenizer,
            counters=replace(counters),
            position=position,
            weights=model_tensors(model),
            optimizer=optimizer_tensors(model, optimizer),
            references=references or {},
        )

    def write(self, folder: Path) -> None:
        """Writes all files of the checkpoint into an empty folder, and their checksums."""
        (folder / "config.yaml").write_text(dump_config(self.config), "utf-8")
        self.tokenizer.save(folder)
        save_file(self.weights, folder / WEIGHTS)
        save_file(self.optimizer, folder / OPTIMIZER)
        counters = asdict(self.counters) | {"tokenizer": self.tokenizer.fingerprint}
        if self.position is not None:
            counters["data"] = self.position.to_dict()
        (folder / COUNTERS).write_text(to_json(counters, indent=1), "utf-8")
        references = {task: asdict(reference) for task, reference in self.references.items()}
        (folder / REFERENCES).write_text(to_json(references, indent=1), "utf-8")
        seal(folder)


@dataclass(frozen=True)
class CheckpointContents:
    """The contents of a checkpoint without the optimizer state. Weights are on the CPU."""

    config: RunConfig
    tokenizer: Tokenizer
    counters: Counters
    weights: dict[str, Tensor]
    references: dict[str, Reference]


def read_contents(path: Path) -> CheckpointContents:
    """Reads a checkpoint without its optimizer state.

    Args:
        path: a checkpoint's folder or an exported file (learner/weights_file.py).

    Raises:
        InputError: if the checkpoint is incomplete or damaged.
    """
    if path.is_file():
        config, tokenizer, saved, weights = read_weights_file(path)
        return CheckpointContents(config, tokenizer, _to_counters(saved, path), weights, read_references(path))
    verify(path, unread=(OPTIMIZER,))
    config, tokenizer = load_config(path / "config.yaml"), _tokenizer(path)
    return CheckpointContents(config, tokenizer, read_counters(path), _tensors(path / WEIGHTS), read_references(path))


def load_for_acting(path: Path) -> tuple[RunConfig, Tokenizer, Gato, Counters]:
    """Loads all that acting needs from a checkpoint: config, tokenizer, model in evaluation mode, and counters.

    Raises:
        InputError: if the checkpoint is incomplete or damaged.
    """
    contents = read_contents(path)
    try:
        model = build_model(contents.config, contents.tokenizer)
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{path}: its config and tokenizer do not describe a valid model: {brief(error)}") from error
    load_weights(model, contents.weights, path)
    return contents.config, contents.tokenizer, model.eval(), contents.counters


def export_weights(path: Path, out: Path) -> CheckpointContents:
    """Writes a checkpoint as one file, without the optimizer state. The file can be used for acting like the folder.

    Raises:
        InputError: if the checkpoint is damaged, or the file exists or cannot be written.
    """
    contents = read_contents(path)
    try:
        counters, references = asdict(contents.counters), contents.references
        write_weights_file(
            out,
            config=contents.config,
            tokenizer=contents.tokenizer,
            counters=counters,
            references=references,
            weights=contents.weights,
        )
    except (OSError, InputError) as error:
        raise InputError(f"--out: {error}") from error
    return contents


def check_compatible(path: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
    """Checks that a run can resume from a checkpoint.

    Raises:
        InputError: if the checkpoint is incomplete or damaged, or its tokenizer or model differ from the run's.
    """
    verify(path)
    if _read_counters_file(path).get("tokenizer") != tokenizer.fingerprint:
        raise InputError(f"{path}: its tokenizer is not this run's; tasks, tokens or statistics have changed")
    before = load_config(path / "config.yaml").model
    for key in type(before).model_fields:
        old, new = getattr(before, key), getattr(config.model, key)
        if old != new:
            raise InputError(f"{path}: its model.{key} is {old}, this run's is {new}")


def restore(path: Path, model: Gato, optimizer: torch.optim.Optimizer) -> Counters:
    """Loads the weights and the optimizer state of a checkpoint in place; returns its counters.

    Raises:
        InputError: if they do not fit.
    """
    load_weights(model, _tensors(path / WEIGHTS), path)
    try:
        load_optimizer(model, optimizer, _tensors(path / OPTIMIZER))
    except KeyError as error:
        raise InputError(f"{path / OPTIMIZER}: {error} is missing") from error
    return read_counters(path)


def load_weights(model: Gato, weights: dict[str, Tensor], path: Path) -> None:
    """Loads weights into a model, in place.

    Args:
        model: the model.
        weights: whole tensors by name.
        path: where the weights come from, for messages.

    Raises:
        InputError: if the weights do not fit the model.
    """
    try:
        load_model(model, weights)
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{path}: the weights do not fit this config's model: {brief(error)}") from error


def read_counters(path: Path) -> Counters:
    """Reads the counters of a checkpoint's folder. Raises InputError if they are damaged."""
    return _to_counters(_read_counters_file(path), path / COUNTERS)


def data_position(path: Path) -> DataPosition | None:
    """Reads the position in the data on disk; None if the run read no such data. Raises InputError if it is damaged."""
    data = _read_counters_file(path).get("data")
    try:
        return DataPosition.from_dict(data) if data is not None else None
    except READ_ERRORS as error:
        raise InputError(f"{path / COUNTERS}: its position in the data is damaged: {brief(error)}") from error


def content_hash(path: Path) -> str:
    """Returns the SHA-256, in hex, of everything that affects acting: not of the optimizer state and the references."""
    if path.is_file():
        return sha256_of(path)
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file() and file.name not in (OPTIMIZER, REFERENCES, MANIFEST):
            total.update(f"{file.name} {sha256_of(file)}\n".encode())
    return total.hexdigest()


def _read_counters_file(path: Path) -> dict[str, Any]:
    try:
        return read_as(dict[str, Any], json.loads((path / COUNTERS).read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{path / COUNTERS}: missing or damaged ({error.__class__.__name__})") from error


def read_references(path: Path) -> dict[str, Reference]:
    """Reads the reference scores of a checkpoint's tasks, by name. Tasks without measured references are left out.

    Raises:
        InputError: if the references are damaged.
    """
    if path.is_file():
        return read_file_references(path)
    file = path / REFERENCES
    try:
        return read_as(dict[str, Reference], json.loads(file.read_text("utf-8"))) if file.exists() else {}
    except READ_ERRORS as error:
        raise InputError(f"{file}: damaged: {brief(error)}") from error


def _to_counters(saved: dict[str, Any], path: Path) -> Counters:
    try:
        return read_as(Counters, {field.name: saved[field.name] for field in fields(Counters)})
    except READ_ERRORS as error:
        raise InputError(f"{path}: its counters are damaged: {brief(error)}") from error


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.load(path)
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{path}: its tokenizer is missing or damaged: {brief(error)}") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (*READ_ERRORS, SafetensorError) as error:
        raise InputError(f"{path}: missing or damaged ({brief(error)})") from error
