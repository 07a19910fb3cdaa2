"""A learned policy as an expert: what `gato-dist experts train` made, or others with stable-baselines3."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from actors.experts.rl.networks import PolicyNetwork
from actors.experts.rl.policy_files import find_policy, load_policy
from actors.experts.rl.preprocess import FrameStack, preprocess
from gato_dist.episode import Observations
from gato_dist.errors import InputError
from gato_dist.ports import Info, Policy
from gato_dist.specs import ActionSpec, Modality, TaskSpec


class CheckpointExpert(Policy):
    """Acts as a trained network says.

    path: see `policy_files.load_policy`; without it the shipped or locally trained policy of the task.
    deterministic: the most likely action; otherwise one drawn from the policy, by a generator for each environment.
    activation, trust: as in `load_policy`. Raises InputError for files that are missing or do not fit.
    """

    def __init__(
        self,
        spec: TaskSpec,
        seeds: list[int],
        path: str | None = None,
        deterministic: bool = True,
        activation: str | None = None,
        trust: bool = False,
    ) -> None:
        self._path = Path(path) if path else find_policy(spec.name)
        self._spec, self._deterministic = spec, deterministic
        self._policy = load_policy(self._path, spec, activation, trust)
        self._stacks = [FrameStack(len(seeds), self._policy.rule.stack) for _ in range(2)]
        self._generators = [np.random.default_rng(seed) for seed in seeds]
        network = self._policy.network
        kind = network.architecture.output if isinstance(network, PolicyNetwork) else "program"
        if not deterministic and (kind in ("greedy", "tanh") or (kind, spec.action.modality) == _UNCERTAIN):
            raise InputError(f"{self._path}: a policy without a distribution; it cannot act with deterministic: false")

    def reset(self, env_ids: np.ndarray) -> None:
        """Frames of the episode before are forgotten."""
        for stack in self._stacks:
            stack.begin(env_ids)

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        """[N, *action shape]: int64, or float32 within the action's bounds."""
        return self._choose(self._see(observations, self._stacks[0]), active if not self._deterministic else None)

    def label(self, observations: Observations, active: np.ndarray) -> np.ndarray:
        """The most likely actions [N, *action shape] for observations [N, ...], whoever acts.

        A pure function of the observations, unless the network sees a stack of frames: then it needs every step of
        all environments in order, with `reset` where episodes begin, and keeps a history apart from `act`'s.
        """
        return self._choose(self._see(observations, self._stacks[1]), None)

    def describe(self) -> dict[str, Any]:
        network = self._policy.network
        architecture = network.architecture.to_dict() if isinstance(network, PolicyNetwork) else {}
        return {
            "name": f"checkpoint {self._spec.name}", "kind": "checkpoint", "weights": self._policy.digest,
            "architecture": architecture, "preprocessing": self._policy.rule.to_dict(),
            "deterministic": self._deterministic,
        }  # fmt: skip

    def _see(self, observations: Observations, stack: FrameStack) -> np.ndarray:
        return stack.push(preprocess(self._spec, self._policy.rule, observations, self._policy.moments))

    @torch.no_grad()
    def _choose(self, seen: np.ndarray, drawn: np.ndarray | None) -> np.ndarray:
        """drawn: bool [N], the rows whose actions are drawn from their distribution; None: all take its mode."""
        network = self._policy.network
        inputs = torch.from_numpy(np.ascontiguousarray(seen))
        if not isinstance(network, PolicyNetwork):
            return self._decide_program(network(inputs).numpy(), drawn)
        head, spread = network(inputs)
        log_std = None if spread is None else spread.numpy()
        noise = self._noise(head.numpy(), log_std, drawn)
        return decide(self._spec.action, network.architecture.output, head.numpy(), noise)

    def _decide_program(self, out: np.ndarray, drawn: np.ndarray | None) -> np.ndarray:
        action = self._spec.action
        if np.issubdtype(out.dtype, np.integer):
            return out.astype(np.int64).reshape(len(out), *action.shape)
        output = "categorical" if action.modality is Modality.DISCRETE else "gaussian"
        out = out.reshape(len(out), -1)
        return decide(action, output, out, self._noise(out, None, drawn))

    def _noise(self, head: np.ndarray, log_std: np.ndarray | None, drawn: np.ndarray | None) -> np.ndarray:
        """What is added to `head`, like it: Gumbel noise makes of an argmax a draw from the softmax."""
        noise = np.zeros_like(head)
        for i in np.flatnonzero(drawn) if drawn is not None else ():
            generator = self._generators[i]
            if log_std is None:
                noise[i] = generator.gumbel(size=head.shape[1:])
            else:
                noise[i] = np.exp(log_std[i]) * generator.standard_normal(head.shape[1:])
        return noise


# A program answers actions, not their spread.
_UNCERTAIN = ("program", Modality.CONTINUOUS)


def decide(action: ActionSpec, output: str, head: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Actions [N, *shape] from a head [N, outputs], as `Architecture.output` says it is to be read."""
    head = head + noise
    if output in ("categorical", "greedy"):
        groups = np.split(head, np.cumsum(action.num_values)[:-1], axis=1)
        return np.stack([group.argmax(1) for group in groups], axis=1).reshape(len(head), *action.shape)
    low, high = np.asarray(action.low, np.float32), np.asarray(action.high, np.float32)
    if output in ("squashed", "tanh"):
        head = low + 0.5 * (np.tanh(head) + 1.0) * (high - low)
    return np.clip(head, low, high).astype(np.float32).reshape(len(head), *action.shape)
