"""Files of a training: the policy with its record, and the state from which the training resumes.

`policy.safetensors` and `policy.json` hold the policy, `training.pt` holds tensors and plain numbers.
"""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from stable_baselines3.common.base_class import BaseAlgorithm

from actors.experts.rl.algorithms import ResumableSAC
from actors.experts.rl.networks import PolicyNetwork, from_stable_baselines
from actors.experts.rl.policy_files import POLICY
from actors.experts.rl.preprocess import RunningStatistics, preprocessed_shape
from actors.experts.rl.sb3_env import ExpertVecEnv
from actors.experts.rl.training_job import TrainingJob
from gato_dist.envs.registry import task_spec
from gato_dist.errors import InputError
from gato_dist.specs import Modality
from gato_dist.utils.typed_json import to_json

STATE = "training.pt"
VERSIONED_PACKAGES = ("stable-baselines3", "torch", "envpool", "gymnasium", "numpy")


def save_training(job: TrainingJob, model: BaseAlgorithm, env: ExpertVecEnv, starts: int) -> None:
    """Writes the policy, its record, and the state from which the training resumes.

    Args:
        job: what is trained.
        model: the algorithm.
        env: its environments.
        starts: how often the training was started.
    """
    network = acting_network(job, model, env)
    tensors = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    state: dict[str, Any] = {
        "parameters": model.get_parameters(), "variables": {}, "steps": model.num_timesteps, "starts": starts
    }  # fmt: skip
    if isinstance(model, ResumableSAC) and model.log_ent_coef is not None:
        state["variables"]["log_ent_coef"] = model.log_ent_coef.detach()
    if env.statistics is not None:
        state["moments"] = _statistics_state(env.statistics)
        tensors |= {f"moments.{name}": state["moments"][name] for name in ("mean", "variance")}
    if env.reward_statistics is not None:
        state["reward_moments"] = _statistics_state(env.reward_statistics)
    _write(job.folder / POLICY, lambda path: path.write_bytes(serialise(tensors)))
    record = to_json(training_record(job, model, network, env), indent=1)
    _write(job.folder / "policy.json", lambda path: path.write_text(record, "utf-8"))
    _write(job.folder / STATE, lambda path: torch.save(state, path))


def read_training(folder: Path) -> dict[str, Any]:
    """Reads the state that `save_training` wrote.

    Raises:
        InputError: if the file is missing or damaged.
    """
    try:
        state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{folder / STATE}: cannot be resumed ({' '.join(str(error).split())[:200]})") from error
    return state


def acting_network(job: TrainingJob, model: BaseAlgorithm, env: ExpertVecEnv) -> PolicyNetwork:
    """Returns the part of the model that chooses actions, on the CPU, without stable-baselines3."""
    spec = task_spec(job.task)
    shape = preprocessed_shape(spec, env.preprocessing)
    weights = {name: tensor.cpu() for name, tensor in model.policy.state_dict().items()}
    discrete = spec.action.modality is Modality.DISCRETE
    return from_stable_baselines(weights, shape, discrete, job.settings.activation)


def training_record(
    job: TrainingJob, model: BaseAlgorithm, network: PolicyNetwork, env: ExpertVecEnv
) -> dict[str, Any]:
    """Returns the content of policy.json: what the weights are, and how they were trained."""
    return {
        "task": job.task,
        "architecture": network.architecture.to_dict(),
        "preprocessing": env.preprocessing.to_dict(),
        "algorithm": job.settings.algorithm,
        "hyperparameters": job.settings.model_dump(mode="json"),
        "steps": model.num_timesteps,
        "total_steps": job.steps,
        "seed": job.seed,
        "versions": {name: version(name) for name in VERSIONED_PACKAGES},
    }


def _statistics_state(statistics: RunningStatistics) -> dict[str, Any]:
    mean, variance = torch.from_numpy(statistics.mean.copy()), torch.from_numpy(statistics.variance.copy())
    return {"mean": mean, "variance": variance, "count": float(statistics.count)}


def _write(path: Path, write: Callable[[Path], Any]) -> None:
    """Writes a file under a temporary name first, so that an interrupted write leaves the old file."""
    partial = path.with_name(path.name + ".partial")
    write(partial)
    partial.rename(path)
