"""Reads trained policies: this project's files, stable-baselines3's zip, or TorchScript. Nothing is unpickled."""

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
from gato_dist.utils.files import lowercase_suffix

POLICY = "policy.safetensors"
KINDS = "a folder or .safetensors of `gato-dist experts train`, a stable-baselines3 .zip, a TorchScript .pt or a .pt2"


@dataclass(frozen=True)
class LoadedPolicy:
    """A policy that was read from a file.

    Attributes:
        network: a PolicyNetwork, or a torch program that returns actions or logits.
        preprocessing: how observations become its input.
        statistics: to standardise its input with; None if it is not standardised.
        digest: sha256 of the weights.
    """

    network: Any
    preprocessing: Preprocessing
    statistics: RunningStatistics | None
    digest: str


def default_folder(task: str) -> Path:
    """Returns the folder in which `experts train` saves a task's policy by default."""
    return Path("runs/experts") / task_file_name(task)


def find_policy(task: str) -> Path:
    """Returns the file of the policy that is shipped for a task, else of the one that was trained here.

    Raises:
        InputError: if there is neither.
    """
    shipped = Path(str(files("gato_dist"))) / "assets" / "experts" / f"{task_file_name(task)}.safetensors"
    for path in (shipped, default_folder(task) / POLICY):
        if path.exists():
            return path
    raise InputError(f"no checkpoint for {task}; train one: gato-dist experts train {task}")


def load_policy(path: Path, spec: TaskSpec, activation: str | None = None, trust: bool = False) -> LoadedPolicy:
    """Reads a policy for a task.

    Args:
        path: a folder or file, as `KINDS` lists them.
        spec: the task's observations and actions.
        activation: activation of a zip's hidden layers, if the zip's record does not name it.
        trust: whether the file may be unpickled, which .pt2 needs.

    Raises:
        InputError: if the file is missing, damaged or made for other observations or actions. The message names it.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file; give {KINDS}")
    file = path / POLICY if path.is_dir() else path
    try:
        suffix = lowercase_suffix(file)
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
    preprocessing = Preprocessing(**manifest["preprocessing"])
    architecture = Architecture.from_dict(manifest["architecture"])
    shape = preprocessed_shape(spec, preprocessing)
    if (shape, _outputs(spec)) != (architecture.input_shape, architecture.outputs):
        raise ValueError(
            f"made for {manifest.get('task')}: inputs {architecture.input_shape} and {architecture.outputs} outputs; "
            f"{spec.name} has {shape} and {_outputs(spec)}"
        )
    mean, variance = tensors.pop("moments.mean", None), tensors.pop("moments.variance", None)
    statistics = None
    if mean is not None and variance is not None:
        statistics = RunningStatistics(mean.numpy(), variance.numpy())
    network = PolicyNetwork(architecture)
    network.load_state_dict(tensors)
    return LoadedPolicy(network.eval(), preprocessing, statistics, _digest(data))


def _load_zip(file: Path, spec: TaskSpec, activation: str | None) -> LoadedPolicy:
    with zipfile.ZipFile(file) as archive:
        weights = archive.read("policy.pth")
        record = archive.read("data") if "data" in archive.namelist() else b"{}"
    state: Weights = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    preprocessing = _match_channels(default_preprocessing(spec), state, spec)
    discrete = spec.action.modality is Modality.DISCRETE
    network = from_stable_baselines(
        state, preprocessed_shape(spec, preprocessing), discrete, activation or _recorded_activation(record)
    )
    if network.architecture.outputs != _outputs(spec):
        raise ValueError(f"it chooses among {network.architecture.outputs} outputs, {spec.name} has {_outputs(spec)}")
    return LoadedPolicy(network.eval(), preprocessing, None, _digest(weights))


def _match_channels(preprocessing: Preprocessing, state: Weights, spec: TaskSpec) -> Preprocessing:
    """Corrects the stack and the colour from an image network's first layer, which has a channel for each."""
    first = next((tensor for name, tensor in state.items() if name.endswith("features_extractor.cnn.0.weight")), None)
    if preprocessing.kind != "image" or first is None or first.shape[1] == preprocessed_shape(spec, preprocessing)[0]:
        return preprocessing
    channels = first.shape[1]
    grey = channels % 3 != 0
    return replace(preprocessing, grey=grey, stack=channels if grey else channels // 3)


def _recorded_activation(record: bytes) -> str | None:
    """Returns the activation in the record's plain text. The pickled `policy_kwargs` are not read."""
    try:
        name = str(json.loads(record)["policy_kwargs"]["activation_fn"])
    except (ValueError, KeyError, TypeError):
        return None
    for ours, kind in ACTIVATIONS.items():
        if name.endswith(f".{kind.__name__}'>"):
            return ours
    raise ValueError(f"activation {name} is not supported; there is {', '.join(ACTIVATIONS)}")


def _load_program(file: Path, spec: TaskSpec, trust: bool) -> LoadedPolicy:
    if lowercase_suffix(file) == ".pt":
        program: Any = torch.jit.load(str(file), map_location="cpu").eval()
    elif trust:
        program = torch.export.load(file).module()
    else:
        raise ValueError(
            "torch.export.load may unpickle; set expert_options.trust: true if you trust it, or save TorchScript as .pt"
        )
    preprocessing = default_preprocessing(spec)
    dtype = torch.uint8 if preprocessing.kind == "image" else torch.float32
    with torch.no_grad():
        answer = program(torch.zeros(2, *preprocessed_shape(spec, preprocessing), dtype=dtype))
    wanted = _outputs(spec) if answer.is_floating_point() else spec.action.size
    if answer.numel() != 2 * wanted:
        raise ValueError(f"answers {tuple(answer.shape)} for 2 observations; {spec.name} needs {wanted} numbers each")
    return LoadedPolicy(program, preprocessing, None, _digest(file.read_bytes()))


def _outputs(spec: TaskSpec) -> int:
    """Returns the number of outputs that a network needs for the task's actions."""
    return int(np.sum(spec.action.num_values)) if spec.action.modality is Modality.DISCRETE else spec.action.size


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
