"""Gato as a policy: encodes observations, decodes actions."""

from typing import Any

import numpy as np

from gato_dist.config.sections import EvaluationConfig
from gato_dist.episode import Observations
from gato_dist.model.decode import ActionDecoder, Decoding
from gato_dist.model.gato import Gato
from gato_dist.ports import Info, Policy
from gato_dist.seeds import task_seed
from gato_dist.tokens.layout import TaskTokenizer
from gato_dist.tokens.steps import StepTokens


class GatoPolicy(Policy):
    """Acts with an `ActionDecoder` and one version of the weights."""

    def __init__(
        self,
        model: Gato,
        tokenizer: TaskTokenizer,
        *,
        length: int,
        window_steps: int,
        settings: EvaluationConfig,
        seeds: list[int],
        version: int,
        prompt: StepTokens | None = None,
    ) -> None:
        """Makes a decoder for one environment per seed.

        Args:
            model: the model with its weights.
            tokenizer: the task's tokenizer.
            length: the most tokens of a context window.
            window_steps: the most time steps of a context window.
            settings: how actions are chosen.
            seeds: the environments' seeds, which also decide the sampled actions.
            version: the weights version.
            prompt: a demonstration that precedes every episode.
        """
        self._tokenizer = tokenizer
        decoding = Decoding(length, settings.temperature, settings.valid_actions_only)
        count = len(seeds)
        draws = [task_seed(tokenizer.spec.name, seed) for seed in seeds]
        self._decoder = ActionDecoder(model, [tokenizer] * count, [window_steps] * count, draws, decoding)
        if prompt is not None:
            for slot in range(count):
                self._decoder.prompt(slot, prompt)
        self._description = {
            "name": "gato",
            "kind": "gato",
            "weights_version": version,
            "temperature": settings.temperature,
            "valid_actions_only": settings.valid_actions_only,
            "prompt_tokens": int(prompt.lengths.sum()) if prompt is not None else 0,
        }

    def reset(self, env_ids: np.ndarray) -> None:
        self._decoder.reset(env_ids.tolist())

    def act(self, observations: Observations, info: Info, active: np.ndarray) -> np.ndarray:
        slots = np.flatnonzero(active).tolist()
        if not slots:
            return np.zeros((len(active), *self._tokenizer.spec.action.shape), np.int64)
        steps = self._tokenizer.encode({name: _select(part, slots) for name, part in observations.items()})
        tokens = self._decoder.act(slots, [steps.take(slice(i, i + 1)) for i in range(len(slots))])
        actions = self._tokenizer.decode_actions(np.stack(tokens))
        all_actions = np.zeros((len(active), *actions.shape[1:]), actions.dtype)
        all_actions[slots] = actions
        return all_actions

    def describe(self) -> dict[str, Any]:
        return self._description


def _select(part: np.ndarray | list[str], env_ids: list[int]) -> np.ndarray | list[str]:
    return [part[i] for i in env_ids] if isinstance(part, list) else part[env_ids]
