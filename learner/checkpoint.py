"""A checkpoint: a folder with config, tokenizer, weights, optimizer and counters. Nothing is unpickled."""

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
from learner.export import file_references, read_file, write_file
from learner.state import load_model, load_optimizer, model_tensors, optimizer_tensors

WEIGHTS, OPTIMIZER, COUNTERS = "model.safetensors", "optimizer.safetensors", "counters.json"
REFERENCES = "references.json"  # what the tasks' scores are measured against, where they were measured


@dataclass
class Counters:
    """How far a run has come. seconds: wall-clock time of training, over all resumptions.

    step: updates of the weights; skipped: batches that made none, since their gradient was not finite.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    weights_version: int = 0
    skipped: int = 0


def build_model(config: RunConfig, tokenizer: Tokenizer) -> Gato:
    """A new model, seeded by the run's seed."""
    torch.manual_seed(config.seed)
    return Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)


@dataclass(frozen=True)
class Snapshot:
    """All that a checkpoint holds, copied to host memory: training may go on while it is written."""

    config: RunConfig
    tokenizer: Tokenizer
    counters: Counters
    position: DataPosition | None
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    references: dict[str, Reference] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        config: RunConfig,
        tokenizer: Tokenizer,
        model: Gato,
        optimizer: torch.optim.Optimizer,
        counters: Counters,
        position: DataPosition | None = None,
        references: dict[str, Reference] | None = None,
    ) -> "Snapshot":
        """Of the first worker; that of others holds no tensor. All workers must call it."""
        weights, moments = model_tensors(model), optimizer_tensors(model, optimizer)
        return cls(config, tokenizer, replace(counters), position, weights, moments, references or {})

    def write(self, folder: Path) -> None:
        """Fills an empty folder and seals it."""
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
class Contents:
    """What acting needs of a checkpoint; weights by name, on the host."""

    config: RunConfig
    tokenizer: Tokenizer
    counters: Counters
    weights: dict[str, Tensor]
    references: dict[str, Reference]


def read_contents(path: Path) -> Contents:
    """From a checkpoint's folder or an exported file (learner/export.py). Raises InputError where it is not whole."""
    if path.is_file():
        config, tokenizer, saved, weights = read_file(path)
        return Contents(config, tokenizer, _to_counters(saved, path), weights, read_references(path))
    verify(path, unread=(OPTIMIZER,))
    config, tokenizer = load_config(path / "config.yaml"), _tokenizer(path)
    return Contents(config, tokenizer, read_counters(path), _tensors(path / WEIGHTS), read_references(path))


def load_for_acting(path: Path) -> tuple[RunConfig, Tokenizer, Gato, Counters]:
    """All that acting needs, from the checkpoint alone. Raises InputError where it is none or not whole."""
    contents = read_contents(path)
    try:
        model = build_model(contents.config, contents.tokenizer)
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{path}: no model can be made of its config and tokenizer: {brief(error)}") from error
    load_weights(model, contents.weights, path)
    return contents.config, contents.tokenizer, model.eval(), contents.counters


def export(path: Path, out: Path) -> Contents:
    """Writes a checkpoint as one file, from which it acts as before; without the optimizer. Raises InputError."""
    contents = read_contents(path)
    try:
        counters, references = asdict(contents.counters), contents.references
        write_file(out, contents.config, contents.tokenizer, counters, references, contents.weights)
    except (OSError, InputError) as error:
        raise InputError(f"--out: {error}") from error
    return contents


def check_fits(path: Path, config: RunConfig, tokenizer: Tokenizer) -> None:
    """Raises InputError where the checkpoint is not whole, or is not one that this run could go on from."""
    verify(path)
    if _counters(path).get("tokenizer") != tokenizer.fingerprint:
        raise InputError(f"{path}: its tokenizer is not this run's; tasks, tokens or their statistics changed")
    before = load_config(path / "config.yaml").model
    for key in type(before).model_fields:
        old, new = getattr(before, key), getattr(config.model, key)
        if old != new:
            raise InputError(f"{path}: its model.{key} is {old}, this run's is {new}")


def restore(path: Path, model: Gato, optimizer: torch.optim.Optimizer) -> Counters:
    """Loads weights and optimizer of a checkpoint that fits in place. Raises InputError where they do not."""
    load_weights(model, _tensors(path / WEIGHTS), path)
    try:
        load_optimizer(model, optimizer, _tensors(path / OPTIMIZER))
    except KeyError as error:
        raise InputError(f"{path / OPTIMIZER}: {error} is missing") from error
    return read_counters(path)


def load_weights(model: Gato, weights: dict[str, Tensor], path: Path) -> None:
    """Raises InputError, naming `path`, where they do not fit."""
    try:
        load_model(model, weights)
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{path}: the weights do not fit this config's model: {brief(error)}") from error


def read_counters(path: Path) -> Counters:
    """Of a checkpoint's folder."""
    return _to_counters(_counters(path), path / COUNTERS)


def data_position(path: Path) -> DataPosition | None:
    """Where the run stood in data from disk; None where it had none."""
    data = _counters(path).get("data")
    try:
        return DataPosition.from_dict(data) if data is not None else None
    except READ_ERRORS as error:
        raise InputError(f"{path / COUNTERS}: its place in the data is damaged: {brief(error)}") from error


def content_hash(path: Path) -> str:
    """SHA-256, in hex, of all that decides how a checkpoint acts: not its optimizer nor its references."""
    if path.is_file():
        return sha256_of(path)
    total = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.is_file() and file.name not in (OPTIMIZER, REFERENCES, MANIFEST):
            total.update(f"{file.name} {sha256_of(file)}\n".encode())
    return total.hexdigest()


def _counters(path: Path) -> dict:
    try:
        return read_as(dict[str, Any], json.loads((path / COUNTERS).read_text("utf-8")))
    except READ_ERRORS as error:
        raise InputError(f"{path / COUNTERS}: missing or damaged ({error.__class__.__name__})") from error


def read_references(path: Path) -> dict[str, Reference]:
    """Reference scores of a checkpoint's tasks, by name; without those that were never measured. Raises InputError."""
    if path.is_file():
        return file_references(path)
    file = path / REFERENCES
    try:
        return read_as(dict[str, Reference], json.loads(file.read_text("utf-8"))) if file.exists() else {}
    except READ_ERRORS as error:
        raise InputError(f"{file}: damaged: {brief(error)}") from error


def _to_counters(saved: dict, path: Path) -> Counters:
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
