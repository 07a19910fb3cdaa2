"""A trained policy as an expert, from `gato-dist experts train` or from stable-baselines3."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.experts.rl.networks import PolicyNetwork
from actors.experts.rl.policy_files import find_policy, load_policy
from actors.experts.rl.preprocess import FrameStack, preprocess
from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Array, Info, Policy
from gato_dist.specs import ActionSpec, Modality, TaskSpec


class CheckpointExpert(Policy):
    """Acts with a trained network."""

    def __init__(
        self,
        spec: TaskSpec,
        seeds: list[int],
        path: str | None = None,
        deterministic: bool = True,
        activation: str | None = None,
        trust: bool = False,
    ) -> None:
        """Loads a policy.

        Args:
            spec: the task's observations and actions.
            seeds: one per environment.
            path: file or folder of the policy, as in `policy_files.load_policy`; None for the shipped policy of the
                task, or the one that was trained here.
            deterministic: whether to take the most likely action; otherwise actions are sampled.
            activation: as in `load_policy`.
            trust: as in `load_policy`.

        Raises:
            InputError: if the file is missing or does not fit the task.
        """
        self._path = Path(path) if path else find_policy(spec.name)
        self._spec, self._deterministic = spec, deterministic
        self._policy = load_policy(self._path, spec, activation, trust)
        self._stacks = [FrameStack(len(seeds), self._policy.preprocessing.stack) for _ in range(2)]
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        network = self._policy.network
        kind = network.architecture.output if isinstance(network, PolicyNetwork) else "program"
        if not deterministic and (kind in ("greedy", "tanh") or (kind, spec.action.modality) == _WITHOUT_DEVIATION):
            raise InputError(f"{self._path}: the policy has no distribution; it cannot act with deterministic: false")

    def reset(self, env_ids: Array) -> None:
        """Forgets the frames of earlier episodes."""
        for stack in self._stacks:
            stack.begin(env_ids)

    def act(self, observations: Observations, info: Info, active: Array) -> Array:
        """Returns actions [N, *action shape]: int64, or float32 within the action's bounds."""
        return self._choose(self._inputs(observations, self._stacks[0]), active if not self._deterministic else None)

    def label(self, observations: Observations, active: Array) -> Array:
        """Returns the most likely actions while another policy acts, [N, *action shape].

        If the network sees a stack of frames, call this in every step, and `reset` when episodes begin. The frames are
        kept apart from those of `act`.
        """
        return self._choose(self._inputs(observations, self._stacks[1]), None)

    def describe(self) -> dict[str, Any]:
        network = self._policy.network
        architecture = network.architecture.to_dict() if isinstance(network, PolicyNetwork) else {}
        return {
            "name": f"checkpoint {self._spec.name}", "kind": "checkpoint", "weights": self._policy.digest,
            "architecture": architecture, "preprocessing": self._policy.preprocessing.to_dict(),
            "deterministic": self._deterministic,
        }  # fmt: skip

    def _inputs(self, observations: Observations, stack: FrameStack) -> Array:
        return stack.push(preprocess(self._spec, self._policy.preprocessing, observations, self._policy.statistics))

    @torch.no_grad()
    def _choose(self, inputs: Array, sampled: Array | None) -> Array:
        """Returns actions [N, *action shape].

        Args:
            inputs: preprocessed observations, [N, ...].
            sampled: bool [N], the environments whose actions are sampled; None to take the mode everywhere.
        """
        network = self._policy.network
        tensor = torch.from_numpy(np.ascontiguousarray(inputs))
        if not isinstance(network, PolicyNetwork):
            return self._decide_program(network(tensor).numpy(), sampled)
        head, log_std_tensor = network(tensor)
        log_std = None if log_std_tensor is None else log_std_tensor.numpy()
        noise = self._noise(head.numpy(), log_std, sampled)
        return decide(self._spec.action, network.architecture.output, head.numpy(), noise)

    def _decide_program(self, out: Array, sampled: Array | None) -> Array:
        action = self._spec.action
        if np.issubdtype(out.dtype, np.integer):
            return out.astype(np.int64).reshape(len(out), *action.shape)
        output = "categorical" if action.modality is Modality.DISCRETE else "gaussian"
        out = out.reshape(len(out), -1)
        return decide(action, output, out, self._noise(out, None, sampled))

    def _noise(self, head: Array, log_std: Array | None, sampled: Array | None) -> Array:
        """Returns the noise to add to `head`. With Gumbel noise, the argmax is a sample of the softmax."""
        noise = np.zeros_like(head)
        for i in np.flatnonzero(sampled) if sampled is not None else ():
            generator = self._generators[i]
            if log_std is None:
                noise[i] = generator.gumbel(size=head.shape[1:])
            else:
                noise[i] = np.exp(log_std[i]) * generator.standard_normal(head.shape[1:])
        return noise


# A program returns actions without their standard deviation.
_WITHOUT_DEVIATION = ("program", Modality.CONTINUOUS)


def decide(action: ActionSpec, output: str, head: Array, noise: Array) -> Array:
    """Turns the outputs of a network's head into actions.

    Args:
        action: the task's actions.
        output: what the head's numbers are; see `Architecture.output`.
        head: float [N, outputs].
        noise: float [N, outputs], added to the head.

    Returns:
        [N, *action shape]: int64, or float32 within the action's bounds.
    """
    head = head + noise
    if output in ("categorical", "greedy"):
        groups = np.split(head, np.cumsum(action.num_values)[:-1], axis=1)
        return np.stack([group.argmax(1) for group in groups], axis=1).reshape(len(head), *action.shape)
    low, high = np.asarray(action.low, np.float32), np.asarray(action.high, np.float32)
    if output in ("squashed", "tanh"):
        head = low + 0.5 * (np.tanh(head) + 1.0) * (high - low)
    return np.clip(head, low, high).astype(np.float32).reshape(len(head), *action.shape)
