"""Files that hold a learned policy: this project's own, stable-baselines3's zip, TorchScript. Nothing is unpickled."""

import hashlib
import io
import json
import zipfile
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from pickle import UnpicklingError  # what torch's weights-only loader raises for anything but tensors
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from actors.experts.rl.networks import ACTIVATIONS, Architecture, PolicyNetwork, Weights, from_stable_baselines
from actors.experts.rl.preprocess import Preprocessing, RunningStatistics, default_preprocessing, preprocessed_shape
from gato_dist.errors import InputError
from gato_dist.specs import Modality, TaskSpec
from gato_dist.utils.file_names import task_file_name
from gato_dist.utils.files import suffix_of

POLICY = "policy.safetensors"
KINDS = "a folder or .safetensors of `gato-dist experts train`, a stable-baselines3 .zip, a TorchScript .pt or a .pt2"


@dataclass(frozen=True)
class LoadedPolicy:
    """network: a PolicyNetwork, or a program that answers actions or logits itself; digest: sha256 of its weights."""

    network: Any
    rule: Preprocessing
    moments: RunningStatistics | None
    digest: str


def default_folder(task: str) -> Path:
    """Where `experts train` puts a task's policy unless it is told otherwise."""
    return Path("runs/experts") / task_file_name(task)


def find_policy(task: str) -> Path:
    """The policy shipped for this task, else the one trained here. Raises InputError where there is neither."""
    shipped = Path(str(files("gato_dist"))) / "assets" / "experts" / f"{task_file_name(task)}.safetensors"
    for path in (shipped, default_folder(task) / POLICY):
        if path.exists():
            return path
    raise InputError(f"no checkpoint for {task}; train one: gato-dist experts train {task}")


def load_policy(path: Path, spec: TaskSpec, activation: str | None = None, trust: bool = False) -> LoadedPolicy:
    """A policy for this task. Raises InputError that names the file where it is damaged or made for another layout.

    activation: of a zip's hidden layers, where its own record does not tell; trust: needed for .pt2.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; give {KINDS}")
    file = path / POLICY if path.is_dir() else path
    try:
        suffix = suffix_of(file)
        if suffix == ".safetensors":
            return _load_own(file, spec)
        if suffix == ".zip":
            return _load_zip(file, spec, activation)
        if suffix in (".pt", ".pt2"):
            return _load_program(file, spec, trust)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:400]}") from error
    except zipfile.BadZipFile as error:
        raise InputError(f"{path}: damaged ({error})") from error
    raise InputError(f"{path}: not a policy; give {KINDS}")


def _load_own(file: Path, spec: TaskSpec) -> LoadedPolicy:
    data = file.read_bytes()
    tensors, manifest = load_tensors(data), json.loads(file.with_suffix(".json").read_text("utf-8"))
    rule = Preprocessing(**manifest["preprocessing"])
    architecture = Architecture.from_dict(manifest["architecture"])
    shape = preprocessed_shape(spec, rule)
    if (shape, _outputs(spec)) != (architecture.input_shape, architecture.outputs):
        raise ValueError(
            f"made for {manifest.get('task')}: inputs {architecture.input_shape} and {architecture.outputs} outputs; "
            f"{spec.name} has {shape} and {_outputs(spec)}"
        )
    mean, variance = tensors.pop("moments.mean", None), tensors.pop("moments.variance", None)
    moments = None if mean is None or variance is None else RunningStatistics(mean.numpy(), variance.numpy())
    network = PolicyNetwork(architecture)
    network.load_state_dict(tensors)
    return LoadedPolicy(network.eval(), rule, moments, _digest(data))


def _load_zip(file: Path, spec: TaskSpec, activation: str | None) -> LoadedPolicy:
    with zipfile.ZipFile(file) as archive:
        weights = archive.read("policy.pth")
        record = archive.read("data") if "data" in archive.namelist() else b"{}"
    state: Weights = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    rule = _match_channels(default_preprocessing(spec), state, spec)
    discrete = spec.action.modality is Modality.DISCRETE
    network = from_stable_baselines(
        state, preprocessed_shape(spec, rule), discrete, activation or _recorded_activation(record)
    )
    if network.architecture.outputs != _outputs(spec):
        raise ValueError(f"it chooses among {network.architecture.outputs} outputs, {spec.name} has {_outputs(spec)}")
    return LoadedPolicy(network.eval(), rule, None, _digest(weights))


def _match_channels(rule: Preprocessing, state: Weights, spec: TaskSpec) -> Preprocessing:
    """An image network's first layer tells how many frames it was trained to see, and whether they were grey."""
    first = next((tensor for name, tensor in state.items() if name.endswith("features_extractor.cnn.0.weight")), None)
    if rule.kind != "image" or first is None or first.shape[1] == preprocessed_shape(spec, rule)[0]:
        return rule
    channels = first.shape[1]
    grey = channels % 3 != 0
    return replace(rule, grey=grey, stack=channels if grey else channels // 3)


def _recorded_activation(record: bytes) -> str | None:
    """From the plain text beside the pickled `policy_kwargs`, which stay unread."""
    try:
        name = str(json.loads(record)["policy_kwargs"]["activation_fn"])
    except (ValueError, KeyError, TypeError):
        return None
    for ours, kind in ACTIVATIONS.items():
        if name.endswith(f".{kind.__name__}'>"):
            return ours
    raise ValueError(f"activation {name} is not supported; there is {', '.join(ACTIVATIONS)}")


def _load_program(file: Path, spec: TaskSpec, trust: bool) -> LoadedPolicy:
    if suffix_of(file) == ".pt":
        program: Any = torch.jit.load(str(file), map_location="cpu").eval()
    elif trust:
        program = torch.export.load(file).module()
    else:
        raise ValueError(
            "torch.export.load may unpickle; set expert_options.trust: true if you trust it, or save TorchScript as .pt"
        )
    rule = default_preprocessing(spec)
    dtype = torch.uint8 if rule.kind == "image" else torch.float32
    with torch.no_grad():
        answer = program(torch.zeros(2, *preprocessed_shape(spec, rule), dtype=dtype))
    wanted = _outputs(spec) if answer.is_floating_point() else spec.action.size
    if answer.numel() != 2 * wanted:
        raise ValueError(f"answers {tuple(answer.shape)} for 2 observations; {spec.name} needs {wanted} numbers each")
    return LoadedPolicy(program, rule, None, _digest(file.read_bytes()))


def _outputs(spec: TaskSpec) -> int:
    """Numbers that a network's head has for this task's actions."""
    return int(np.sum(spec.action.num_values)) if spec.action.modality is Modality.DISCRETE else spec.action.size


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
