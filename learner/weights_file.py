"""Weights files: a checkpoint's weights as one safetensors file, with all else that acting needs in its metadata."""

import base64
import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, uint8

from gato_dist.config.run_config import RunConfig, parse_config
from gato_dist.errors import READ_ERRORS, InputError, brief
from gato_dist.scores.references import Reference
from gato_dist.tokens.tokenizer import Tokenizer
from gato_dist.utils.files import atomic_path, write_error_text
from gato_dist.utils.locks import hold_file
from gato_dist.utils.typed_json import read_as, to_json

FORMAT = "gato_dist weights 1"


def write_weights_file(
    out: Path,
    *,
    config: RunConfig,
    tokenizer: Tokenizer,
    counters: dict[str, Any],
    references: dict[str, Reference],
    weights: dict[str, Tensor],
) -> None:
    """Writes a weights file, under a temporary name first.

    Args:
        out: the new file.
        config, tokenizer: of the run.
        counters: progress of the run, as a dict.
        references: reference scores of the tasks, by name.
        weights: tensors by name.

    Raises:
        InputError: if the file exists.
        OSError: if it cannot be written; the message names the file.
    """
    metadata = {
        "format": FORMAT,
        "config": to_json(config.model_dump(mode="json")),
        "tokenizer": to_json(tokenizer.to_dict()),
        "text_model": base64.b64encode(tokenizer.text.model_bytes).decode(),
        "counters": to_json(counters),
        "references": to_json({task: asdict(reference) for task, reference in references.items()}),
    }
    with hold_file(out):
        if out.exists():
            raise InputError(f"{out}: exists already")
        try:
            with atomic_path(out, durable=True) as partial:
                save_file(weights, partial, metadata | {"sha256": _checksum(metadata, weights)})
        # safetensors raises its own error types if the disk is full.
        except (OSError, SafetensorError) as error:
            raise OSError(f"{out}: cannot be written: {write_error_text(error)}") from error


def read_weights_file(path: Path) -> tuple[RunConfig, Tokenizer, dict[str, Any], dict[str, Tensor]]:
    """Reads config, tokenizer, counters and weights from a weights file.

    Raises:
        InputError: if the file is damaged or is not a weights file.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (*READ_ERRORS, SafetensorError) as error:
        raise InputError(f"{path}: not a .safetensors file, or damaged ({brief(error)})") from error
    if metadata.get("format") != FORMAT:
        raise InputError(f"{path}: not written by gato-dist checkpoint export ({FORMAT!r})")
    if metadata.pop("sha256", None) != _checksum(metadata, weights):
        raise InputError(f"{path}: damaged: its checksum does not match")
    try:
        config = parse_config(json.loads(metadata["config"]), str(path))
        tokenizer = Tokenizer.from_dict(json.loads(metadata["tokenizer"]), base64.b64decode(metadata["text_model"]))
        return config, tokenizer, read_as(dict[str, Any], json.loads(metadata["counters"])), weights
    except (*READ_ERRORS, RuntimeError) as error:
        raise InputError(f"{path}: its metadata are damaged: {brief(error)}") from error


def read_file_references(path: Path) -> dict[str, Reference]:
    """Reads the reference scores in a weights file, by task name. Raises InputError if they are damaged."""
    try:
        with safe_open(path, "pt") as file:
            return read_as(dict[str, Reference], json.loads((file.metadata() or {}).get("references", "{}")))
    except (*READ_ERRORS, SafetensorError) as error:
        raise InputError(f"{path}: its reference scores are damaged: {brief(error)}") from error


def _checksum(metadata: dict[str, str], weights: dict[str, Tensor]) -> str:
    """Returns the SHA-256 of metadata and weights, in hex."""
    total = hashlib.sha256(to_json(metadata, sort_keys=True).encode())
    for name in sorted(weights):
        tensor = weights[name].contiguous()
        total.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        total.update(tensor.flatten().view(uint8).numpy().data)
    return total.hexdigest()
