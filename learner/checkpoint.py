"""Checkpoints: folders that carry config, tokenizer, weights, optimizer and counters. Nothing is unpickled."""

import json
import shutil
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gato_dist.config import RunConfig, dump_config, load_config
from gato_dist.errors import InputError
from gato_dist.model.gato import Gato
from gato_dist.sequence import DataPosition
from gato_dist.tokens.tokenizer import Tokenizer

PARTIAL = ".partial"


@dataclass
class Counters:
    """How far a run has come. seconds: wall-clock time of training, over all resumptions."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    weights_version: int = 0


def build_model(config: RunConfig, tokenizer: Tokenizer) -> Gato:
    """A new model, seeded by the run's seed."""
    torch.manual_seed(config.seed)
    return Gato(config.model, tokenizer.vocabulary.size, tokenizer.tensor_size)


class CheckpointFolder:
    """The `checkpoints/` of a run: one folder a checkpoint, the newest `keep` of them."""

    def __init__(self, root: Path, keep: int) -> None:
        self.root, self._keep = root, keep

    def save(
        self,
        config: RunConfig,
        tokenizer: Tokenizer,
        model: Gato,
        optimizer: torch.optim.Optimizer,
        counters: Counters,
        position: DataPosition | None = None,
    ) -> Path:
        """Writes under a temporary name, then renames: a folder with its final name is whole."""
        final = self.root / f"step-{counters.step:08d}"
        partial = final.with_name(final.name + PARTIAL)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        (partial / "config.yaml").write_text(dump_config(config))
        tokenizer.save(partial)
        save_file(
            {name: tensor.contiguous() for name, tensor in model.state_dict().items()}, partial / "model.safetensors"
        )
        save_file(_optimizer_tensors(model, optimizer), partial / "optimizer.safetensors")
        manifest = asdict(counters) | {"tokenizer": tokenizer.fingerprint}
        if position is not None:
            manifest["data"] = position.to_dict()
        (partial / "counters.json").write_text(json.dumps(manifest, indent=1))
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)
        self._prune()
        return final

    def newest(self) -> Path | None:
        """The newest whole checkpoint."""
        return max((path for path in self.root.glob("step-*") if path.suffix != PARTIAL), default=None)

    def _prune(self) -> None:
        whole = sorted(path for path in self.root.glob("step-*") if path.suffix != PARTIAL)
        for path in [*whole[: -self._keep], *self.root.glob(f"*{PARTIAL}")]:
            shutil.rmtree(path)


def restore(path: Path, model: Gato, optimizer: torch.optim.Optimizer, tokenizer: Tokenizer) -> Counters:
    """Loads weights and optimizer in place. Raises InputError where they do not fit, naming why."""
    manifest = _manifest(path)
    if manifest["tokenizer"] != tokenizer.fingerprint:
        raise InputError(f"{path}: its tokenizer is not this run's; tasks, tokens or their statistics changed")
    _load_weights(path, model)
    saved = _tensors(path / "optimizer.safetensors")
    try:
        for name, parameter in model.named_parameters():
            keys = ("step", "exp_avg", "exp_avg_sq")
            optimizer.state[parameter] = {key: saved[f"{key}.{name}"] for key in keys if f"{key}.{name}" in saved}
    except KeyError as error:
        raise InputError(f"{path}/optimizer.safetensors: {error} is missing") from error
    return _counters(manifest)


def data_position(path: Path) -> DataPosition | None:
    """Where the run stood in data from disk; None where it had none."""
    data = _manifest(path).get("data")
    return DataPosition.from_dict(data) if data is not None else None


def load_for_acting(path: Path) -> tuple[RunConfig, Tokenizer, Gato, Counters]:
    """All that acting needs, from the checkpoint alone. Raises InputError where the folder is no checkpoint."""
    manifest = _manifest(path)
    config, tokenizer = load_config(path / "config.yaml"), Tokenizer.load(path)
    model = build_model(config, tokenizer)
    _load_weights(path, model)
    return config, tokenizer, model.eval(), _counters(manifest)


def _manifest(path: Path) -> dict:
    try:
        return json.loads((path / "counters.json").read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: not a checkpoint (give a folder such as runs/NAME/checkpoints/step-00001000)"
        ) from error


def _counters(manifest: dict) -> Counters:
    return Counters(**{field.name: manifest[field.name] for field in fields(Counters)})


def _load_weights(path: Path, model: Gato) -> None:
    try:
        model.load_state_dict(_tensors(path / "model.safetensors"))
    except RuntimeError as error:
        raise InputError(
            f"{path}: the weights do not fit this config's model: {' '.join(str(error).split())[:200]}"
        ) from error


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: missing or damaged ({error})") from error


def _optimizer_tensors(model: Gato, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    tensors = {}
    for name, parameter in model.named_parameters():
        for key, value in optimizer.state[parameter].items():
            tensors[f"{key}.{name}"] = value.contiguous()
    return tensors
